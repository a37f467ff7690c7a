"""How well a model does on what is common in its training text: n-grams, and the bigram distribution.

n-grams hold no BOS, so they cross neither documents nor rows.
"""

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy import sparse
from torch import Tensor

from ablations.effects import Estimate, clustered
from ablations.not_measurable import NotMeasurable

Rows = Int[np.ndarray, "row pos"]


def keys(tokens: Rows, n: int, bos: int, vocabulary: int) -> Int[np.ndarray, "row window"]:
    """A number for each n tokens in a row, -1 where BOS is among them.

    Raises NotMeasurable for a vocabulary of which an int64 cannot tell all n-grams apart.
    """
    if vocabulary**n >= 2**63:
        raise NotMeasurable(
            f"{n}-grams of a vocabulary of {vocabulary}: more than an int64 tells apart, use a smaller n"
        )
    windows = np.lib.stride_tricks.sliding_window_view(tokens, n, axis=1)
    numbers = np.zeros(windows.shape[:2], dtype=np.int64)
    for column in range(n):
        numbers = numbers * vocabulary + windows[..., column]
    return np.where((windows == bos).any(-1), -1, numbers)


def common(tokens: Rows, n: int, bos: int, vocabulary: int, count: int = 1000) -> Int[np.ndarray, " ngram"]:
    """The keys of the most frequent n-grams, in order of the keys."""
    every = keys(tokens, n, bos, vocabulary)
    numbers, counts = np.unique(every[every >= 0], return_counts=True)
    return np.sort(numbers[np.argsort(-counts, kind="stable")[:count]])


def ends(
    tokens: Rows, chosen: Int[np.ndarray, " ngram"], n: int, bos: int, vocabulary: int
) -> Bool[np.ndarray, "row p"]:
    """Which predicted tokens (entry [r, i] is token i + 1) end one of these n-grams."""
    ending = np.zeros((len(tokens), tokens.shape[1] - 1), dtype=bool)
    ending[:, n - 2 :] = np.isin(keys(tokens, n, bos, vocabulary), chosen)
    return ending


def score(losses: Float[np.ndarray, "row p"], at: Bool[np.ndarray, "row p"], documents: Rows) -> Estimate:
    """Mean loss on all predicted tokens over the mean loss on those that end a common n-gram: 1 when they are no
    easier, more when they have been learned (Hoogland et al. 2024). The error is the delta method's, by document.

    documents: of the predicted tokens. Raises NotMeasurable where none ends one.
    """
    if not at.any():
        raise NotMeasurable("no token of the text ends a common n-gram: use more text")
    whole, part = losses.mean(), losses[at].mean()
    influence = (losses - whole) / part - np.where(at, (losses - part) / at.mean(), 0) * whole / part**2
    return clustered(influence.ravel(), documents.ravel())._replace(value=float(whole / part))


def bigrams(tokens: Rows, bos: int, vocabulary: int) -> sparse.csr_array:
    """The probabilities p(next | token) [token, next]; a row of zeros for tokens that are not there."""
    every = keys(tokens, 2, bos, vocabulary)
    numbers, counts = np.unique(every[every >= 0], return_counts=True)
    table = sparse.csr_array((counts.astype(np.float64), np.divmod(numbers, vocabulary)), (vocabulary, vocabulary))
    totals = np.maximum(table.sum(1), 1)
    return sparse.csr_array(sparse.diags_array(1 / totals) @ table)


def bigram_losses(
    log_probabilities: Float[Tensor, "token vocab"], after: Int[np.ndarray, " token"], table: sparse.csr_array
) -> dict[str, Float[np.ndarray, " token"]]:
    """Cross-entropy of a model's predictions under the bigram distribution, and its entropy, by prediction in nats.

    cross_entropy is -sum_v p(v | token) log q(v | context); entropy is that of p itself, below which it cannot be.
    after: the token before each prediction.
    """
    expected = sparse.csr_array(table[after])
    which = np.repeat(np.arange(len(after)), np.diff(expected.indptr))
    predicted = log_probabilities[torch.from_numpy(which), torch.from_numpy(expected.indices).long()].double().numpy()

    def total(logarithms: np.ndarray) -> np.ndarray:
        summed = np.bincount(which, weights=expected.data * logarithms, minlength=len(after))
        return -summed.astype(np.float64)  # of no tokens NumPy gives whole numbers

    return {"cross_entropy": total(predicted), "entropy": total(np.log(expected.data))}
