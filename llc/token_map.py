"""A map of tokens: each is a vector of one number for each head, such as its susceptibilities, and the map's axes are
the principal components of these vectors.

Heads that vary more have larger susceptibilities for every token, and in the two-chain form the values of a head carry
a factor of its own. So each head's values are first standardised over tokens (as arXiv:2508.00331 does), and then each
token's mean over heads may be taken away, which leaves how a token is treated by one head more than by others.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float


class Components(NamedTuple):
    """Principal components, the largest first. Signs: a component's largest loading is positive."""

    loadings: Float[np.ndarray, "component head"]  # of unit length
    scores: Float[np.ndarray, "component token"]
    shares: Float[np.ndarray, " component"]  # of the variance of all standardised values


def standardised(values: Float[np.ndarray, "head token"], centre_tokens: bool = False) -> np.ndarray:
    """Each head's values with mean 0 and standard deviation 1 over tokens; those of a head that has none are 0.

    centre_tokens: whether each token's mean over heads is taken away afterwards.
    """
    if not np.isfinite(values).all():
        raise ValueError("susceptibilities that are not finite: leave out the heads whose chains diverged")
    away = values - values.mean(1, keepdims=True)
    spread = away.std(1, keepdims=True)
    scaled = np.divide(away, spread, out=np.zeros_like(away), where=spread > 0)
    return scaled - scaled.mean(0, keepdims=True) if centre_tokens else scaled


def components(standard: Float[np.ndarray, "head token"], count: int = 3) -> Components:
    """The first components of standardised values, as many as heads allow.

    Raises ValueError for fewer tokens than heads, in which there is no map.
    """
    heads, tokens = standard.shape
    if tokens < heads:
        raise ValueError(f"{tokens} tokens for {heads} heads: follow more probes")
    left, sizes, right = np.linalg.svd(standard, full_matrices=False)
    count = min(count, heads)
    signs = np.sign(left[np.abs(left).argmax(0), np.arange(heads)])[:count]
    total = float((sizes**2).sum())
    shares = sizes[:count] ** 2 / total if total else np.zeros(count)
    scores = (sizes[:, None] * right)[:count] * signs[:, None]
    return Components((left[:, :count] * signs).T, scores, shares)


def matched(standard: Float[np.ndarray, "head token"], like: Components) -> Components:
    """The components of other values of the same heads, in the order and with the signs of `like`.

    Each of the first 2 * count components goes to the one of `like` whose loadings it is most alike, the largest
    agreement first.
    """
    count = len(like.loadings)
    found = components(standard, 2 * count)
    alike = like.loadings @ found.loadings.T
    free, order = np.abs(alike), np.zeros(count, dtype=int)
    for _ in range(count):
        place, which = np.unravel_index(free.argmax(), free.shape)
        order[place] = which
        free[place], free[:, which] = -1.0, -1.0
    signs = np.where(alike[np.arange(count), order] < 0, -1.0, 1.0)[:, None]
    return Components(found.loadings[order] * signs, found.scores[order] * signs, found.shares[order])
