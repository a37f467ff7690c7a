"""Training as paths in the space of predictions, beside ridge and dMMSE, and beside walks with steps as long.

Predictions on fixed contexts are one vector for each checkpoint; the paths of all trainings share principal components
(joint trajectory PCA, arXiv:2402.02364). The axis that matters here leads from dMMSE to ridge. How far apart along it
the networks of new tasks and of few tasks end is told by the cosine of their difference with it.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from experiments.settings import intervals
from experiments.settings.intervals import Interval
from experiments.settings.parts import Measured

WALKS = 1000


class Plane(NamedTuple):
    """Paths in the plane of the first two components, and the two predictors' places in it."""

    paths: dict[str, Float[np.ndarray, "checkpoint 2"]]
    ridge: Float[np.ndarray, "2"]
    dmmse: dict[str, Float[np.ndarray, "2"]]
    shares: Float[np.ndarray, "2"]  # of the variance of all checkpoints


def plane(trainings: Measured) -> Plane:
    """The plane of these trainings together."""
    stacked = np.concatenate([np.array(one["path"]) for one in trainings.values()])
    middle = stacked.mean(0)
    _, sizes, vectors = np.linalg.svd(stacked - middle, full_matrices=False)
    turn = vectors[:2].T
    first = next(iter(trainings.values()))
    return Plane(
        {name: (np.array(one["path"]) - middle) @ turn for name, one in trainings.items()},
        (np.array(first["ridge"]) - middle) @ turn,
        {name: (np.array(one["dmmse"]) - middle) @ turn for name, one in trainings.items()},
        (sizes**2 / (sizes**2).sum())[:2],
    )


def along(new: dict, few: dict) -> float:
    """The cosine of (where new tasks end - where few end) with (ridge - dMMSE of the few)."""
    return _cosine(np.array(new["path"][-1]) - np.array(few["path"][-1]), _axis(few))


def walks(new: dict, few: dict) -> Interval:
    """The same for two walks whose steps have the trainings' lengths and random directions: mean, and where 95% lie."""
    generator = np.random.default_rng(0)
    axis = _axis(few)
    return intervals.spread(
        np.array([_cosine(_end(new, generator) - _end(few, generator), axis) for _ in range(WALKS)])
    )


def _end(training: dict, generator: np.random.Generator) -> np.ndarray:
    """Where a walk with the training's step lengths ends."""
    moves = np.diff(np.array(training["path"]), axis=0)
    directions = generator.standard_normal(moves.shape)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return (np.linalg.norm(moves, axis=1)[:, None] * directions).sum(0)


def _axis(few: dict) -> np.ndarray:
    return np.array(few["ridge"]) - np.array(few["dmmse"])


def _cosine(first: np.ndarray, second: np.ndarray) -> float:
    return float(first @ second / (np.linalg.norm(first) * np.linalg.norm(second)))
