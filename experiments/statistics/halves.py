"""Two halves of documents, for choosing on one and testing on the other: as equal in size as can be, or at random."""

import numpy as np
from jaxtyping import Bool, Int, Int64


def balanced_half(documents: Int[np.ndarray, " token"]) -> Bool[np.ndarray, " token"]:
    """The tokens of one half of the documents: from the longest to the shortest, each goes to the smaller half."""
    names, home, size = np.unique(documents, return_inverse=True, return_counts=True)
    inside, total = np.zeros(len(names), dtype=bool), [0, 0]  # total: tokens of the half, and of the other
    for document in np.argsort(-size, kind="stable"):
        inside[document] = total[0] <= total[1]
        total[0 if inside[document] else 1] += int(size[document])
    return inside[home]


def random_half(documents: Int64[np.ndarray, " item"]) -> Bool[np.ndarray, " item"]:
    """The items of half of the documents, drawn at random, and the same half in every run on the same text."""
    numbers = np.unique(documents)
    return np.isin(documents, np.random.default_rng(0).permutation(numbers)[: len(numbers) // 2])
