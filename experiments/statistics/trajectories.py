"""Paths in function space: principal components over training, and where the path turns.

A run's outputs on fixed inputs are one long vector at each checkpoint, and the vectors of all checkpoints, of one run
or of several together, have principal components ("joint trajectory PCA", arXiv:2402.02364). Training time is
log(step + 1); a path is smoothed by local quadratic fits under a Gaussian kernel in it, whose width in steps thus grows
with the step.

Components of any smooth path bend and turn: those of a random walk in many dimensions are cosines of rising frequency
(Antognini and Sohl-Dickstein, arXiv:1806.08805). So where a path turns is held against walks whose steps are as long
and point anywhere.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Real
from scipy import signal

from ablations.not_measurable import NotMeasurable
from experiments.statistics.onsets import log_time
from experiments.statistics.turning_points import local_fits

COMPONENTS, FEWEST = 3, 8  # checkpoints that a path needs
WIDTH = 0.3  # standard deviation of the kernel, in log(step + 1)
SPACING = 0.05  # of the grid that paths are read on, in log(step + 1)


class Components(NamedTuple):
    """A path on its principal components, the largest first; the sign of each is that of its last value."""

    scores: Float[np.ndarray, "checkpoint component"]
    shares: Float[np.ndarray, " component"]  # of the variance


class Path(NamedTuple):
    """A smoothed path, read at even distances in log(step + 1)."""

    steps: Float[np.ndarray, " place"]
    places: Float[np.ndarray, "place component"]
    turning: Float[np.ndarray, " place"]  # radians by which its direction turns in a unit of log(step + 1)


class Turn(NamedTuple):
    """A place at which the path turns faster than random walks do anywhere (with a probability of 95%)."""

    step: float
    turning: float


def components(outputs: Float[np.ndarray, "checkpoint output"], count: int = COMPONENTS) -> Components:
    """The components of outputs, centred over all checkpoints; of several runs together where they are given below each
    other.
    """
    away = (outputs - outputs.mean(0)).astype(np.float64)
    sizes, vectors = np.linalg.eigh(away @ away.T)
    order = np.argsort(sizes)[::-1][:count]
    sizes, found = sizes.clip(0.0), vectors[:, order]
    total, signs = sizes.sum(), np.where(found[-1] < 0, -1.0, 1.0)
    return Components(found * np.sqrt(sizes[order]) * signs, sizes[order] / total if total else np.zeros(len(order)))


def smoothed(
    steps: Real[np.ndarray, " checkpoint"], scores: Float[np.ndarray, "checkpoint component"], width: float = WIDTH
) -> Path:
    """The path between its checkpoints, smoothed, with how fast it turns.

    With x' and x'' its derivatives by log(step + 1), the direction turns at sqrt(|x'|^2 |x''|^2 - (x' . x'')^2) /
    |x'|^2, which is curvature times speed. Where the path stops it is large: a cusp. Raises NotMeasurable for fewer
    than 8 checkpoints.
    """
    clock = log_time(steps)
    if len(clock) < FEWEST:
        raise NotMeasurable(f"{len(clock)} checkpoints are too few for a path: give {FEWEST} or more")
    grid = np.arange(clock[0], clock[-1], SPACING)
    at, speed, bend = (fit @ scores for fit in local_fits(clock, grid, width))
    square, along = (speed**2).sum(1), (speed * bend).sum(1)
    area = np.sqrt((square * (bend**2).sum(1) - along**2).clip(0.0))
    turning = np.divide(area, square, out=np.zeros_like(area), where=square > 1e-12 * square.max())
    return Path(np.expm1(grid), at, turning)


def lengths(outputs: Float[np.ndarray, "checkpoint output"]) -> tuple[np.ndarray, int]:
    """How long the steps from checkpoint to checkpoint are, and in how many dimensions they point: the participation
    ratio of their products.
    """
    moves = np.diff(outputs.astype(np.float64), axis=0)
    products = moves @ moves.T
    size = np.sqrt(np.diag(products))
    unit = products / np.where(size > 0, size, 1.0)[:, None] / np.where(size > 0, size, 1.0)
    ratio = np.trace(unit) ** 2 / max((unit**2).sum(), 1e-300)
    return size, max(2, round(float(ratio)))


def random_walks(
    sizes: Float[np.ndarray, " step"], dimensions: int, *, draws: int = 200, seed: int = 0
) -> list[Components]:
    """The components of walks whose steps have these lengths and independent random directions."""
    generator, found = np.random.default_rng(seed), []
    for _ in range(draws):
        moves = generator.standard_normal((len(sizes), dimensions))
        moves *= sizes[:, None] / np.linalg.norm(moves, axis=1, keepdims=True)
        found.append(components(np.concatenate([np.zeros((1, dimensions)), np.cumsum(moves, 0)])))
    return found


def level(walks: list[Path]) -> float:
    """The 95th percentile of the largest turning of each walk."""
    return float(np.quantile([walk.turning.max() for walk in walks], 0.95))


def turns(path: Path, least: float) -> list[Turn]:
    """Peaks of the path's turning that reach this level."""
    peaks, _ = signal.find_peaks(path.turning, height=least)
    return [Turn(float(path.steps[peak]), float(path.turning[peak])) for peak in peaks]
