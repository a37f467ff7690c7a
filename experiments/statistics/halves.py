"""Two halves of documents, for choosing on one and testing on the other: of equal size, or at random."""

import numpy as np
from jaxtyping import Bool, Int, Int64


def balanced_half(documents: Int[np.ndarray, " token"]) -> Bool[np.ndarray, " token"]:
    """The tokens of one half of the documents: from the longest to the shortest, each goes to the smaller half."""
    names, home, size = np.unique(documents, return_inverse=True, return_counts=True)
    inside, total = np.zeros(len(names), dtype=bool), [0, 0]
    for document in np.argsort(-size, kind="stable"):
        inside[document] = total[0] <= total[1]
        total[0 if inside[document] else 1] += int(size[document])
    return inside[home]


def random_half(documents: Int64[np.ndarray, " item"]) -> Bool[np.ndarray, " item"]:
    """Half of the documents: those that the path is chosen on. The same in every run on the same text."""
    numbers = np.unique(documents)
    return np.isin(documents, np.random.default_rng(0).permutation(numbers)[: len(numbers) // 2])
