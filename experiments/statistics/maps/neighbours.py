"""Whether tokens of a kind lie together: the share of a token's nearest neighbours that are of its kind."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Integer, Shaped
from scipy.spatial import cKDTree

from experiments.statistics.intervals import reach

COUNT = 15  # neighbours of each token


class Together(NamedTuple):
    """The mean share over tokens with its 95% interval, clustered by rows of text, and what it would be by chance."""

    value: float
    low: float
    high: float
    chance: float


def together(
    vectors: Float[np.ndarray, "token head"],
    kinds: Shaped[np.ndarray, " token"],
    rows: Integer[np.ndarray, " token"],
    count: int = COUNT,
) -> Together:
    """Of each token's nearest neighbours in other rows, which share no context with it.

    Chance is the share of pairs of tokens of different rows that are of one kind.
    """
    names, kind = np.unique(kinds, return_inverse=True)
    places, home = np.unique(rows, return_inverse=True)
    largest = int(np.bincount(home).max())
    near = np.asarray(cKDTree(vectors).query(vectors, min(count + largest, len(vectors)))[1])
    share = np.zeros(len(vectors))
    for token, others in enumerate(near):
        chosen = others[home[others] != home[token]][:count]
        share[token] = (kind[chosen] == kind[token]).mean() if len(chosen) else np.nan
    of_rows = np.array([np.nanmean(share[home == row]) for row in range(len(places))])
    half = float(reach(len(of_rows) - 1) * of_rows.std(ddof=1) / np.sqrt(len(of_rows)))
    table = np.zeros((len(places), len(names)))
    np.add.at(table, (home, kind), 1)
    pairs, alike = (len(kinds) ** 2 - (table.sum(1) ** 2).sum()), (table.sum(0) ** 2 - (table**2).sum(0)).sum()
    value = float(of_rows.mean())
    return Together(value, value - half, value + half, float(alike / pairs))
