"""How well types of heads are predicted from curves of other seeds' heads, and which of several curves predict best."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Shaped

from experiments.statistics.bootstrap import cluster_bootstrap


class Prediction(NamedTuple):
    """Shares of heads whose type is predicted, averaged over types, and the paired difference to the best of others."""

    first: float
    others: tuple[float, ...]
    value: float  # first - the best of the others
    interval: tuple[float, float]  # 95%; the best of the others is chosen anew in each draw
    chance: float  # 1 / number of types
    units: int  # heads whose type another seed has in the same layer


def predicted(
    features: Float[np.ndarray, "head feature"],
    types: Shaped[np.ndarray, " head"],
    layers: Shaped[np.ndarray, " head"],
    seeds: Shaped[np.ndarray, " head"],
) -> tuple[Bool[np.ndarray, " head"], Bool[np.ndarray, " head"]]:
    """Whether each head's type is that of the nearest mean of features among the same layer's heads of other seeds.

    Returns (right, possible): possible where another seed has the type in that layer; it does not depend on features,
    and others are never right. Distances are Euclidean: scale the features first where that matters.
    """
    right, possible = np.zeros(len(types), dtype=bool), np.zeros(len(types), dtype=bool)
    for head in range(len(types)):
        known = (layers == layers[head]) & (seeds != seeds[head])
        names = np.unique(types[known])
        if types[head] in names:
            centres = np.stack([features[known & (types == name)].mean(0) for name in names])
            possible[head] = True
            right[head] = names[((centres - features[head]) ** 2).sum(1).argmin()] == types[head]
    return right, possible


def accuracy_difference(
    first: Float[np.ndarray, "head _"],
    others: Sequence[Float[np.ndarray, "head _"]],
    types: Shaped[np.ndarray, " head"],
    layers: Shaped[np.ndarray, " head"],
    seeds: Shaped[np.ndarray, " head"],
    *,
    clusters: Shaped[np.ndarray, " head"] | None = None,
    draws: int = 2000,
    seed: int = 0,
) -> Prediction:
    """Compares how well the first features predict types of heads of a left-out seed with the best of the others.

    Balanced accuracy: the mean over types of the share that is right. The paired bootstrap draws heads, or `clusters`
    of them (seeds), with the predictions that were made; how these vary with the heads learned from is left out.
    Raises ValueError without others. NaN where no head's type occurs in another seed.
    """
    predictions = [predicted(features, types, layers, seeds) for features in (first, *others)]
    if len(predictions) < 2:
        raise ValueError("no other features to compare with: give at least one")
    possible = predictions[0][1]
    right, kinds = np.stack([hits[possible] for hits, _ in predictions]), types[possible]
    if len(kinds) == 0:
        nan = math.nan
        return Prediction(nan, (nan,) * len(others), nan, (nan, nan), nan, 0)

    def balanced(index: np.ndarray) -> np.ndarray:
        return np.mean([right[:, index[kinds[index] == kind]].mean(1) for kind in np.unique(kinds[index])], axis=0)

    def difference(index: np.ndarray) -> float:
        accuracies = balanced(index)
        return float(accuracies[0] - accuracies[1:].max())

    everything = np.arange(len(kinds))
    drawn = everything if clusters is None else clusters[possible]
    interval = cluster_bootstrap(difference, drawn, draws=draws, seed=seed)
    accuracy = [float(part) for part in balanced(everything)]
    return Prediction(
        first=accuracy[0],
        others=tuple(accuracy[1:]),
        value=difference(everything),
        interval=interval,
        chance=1 / len(np.unique(kinds)),
        units=len(kinds),
    )
