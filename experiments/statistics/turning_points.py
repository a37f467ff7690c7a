"""Where a smoothed curve over training turns, each point with an interval, in log(step + 1) as the onsets are."""

import itertools
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Real

from ablations.not_measurable import NotMeasurable
from experiments.statistics.onsets import log_time

FEWEST = 8  # checkpoints that can be smoothed


class CriticalPoint(NamedTuple):
    """A step at which a curve turns, between two steps at which its slope surely has opposite signs."""

    step: float
    low: float
    high: float
    kind: Literal["maximum", "minimum"]


def critical_points(
    steps: Real[np.ndarray, " checkpoint"],
    values: Float[np.ndarray, " checkpoint"],
    errors: Float[np.ndarray, " checkpoint"],
    *,
    bandwidth: float | None = None,
    draws: int = 1000,
    seed: int = 0,
) -> list[CriticalPoint]:
    """The steps at which the slope d value / d log(step + 1) of a smoothed curve changes sign beyond its errors.

    Smoothing is a local quadratic fit under a Gaussian kernel, whose width (in log step) has the least leave-one-out
    error unless given. A turn counts where the slope is significant on both sides, with opposite signs, at a level at
    which 5% of flat curves would show any significant slope (as in SiZer: Chaudhuri and Marron 1999, with the maximum
    over steps drawn from the errors). The interval reaches from the last step of one sign to the first of the other, at
    least to the checkpoints around. It is of the smoothed curve: the bias of smoothing is not in it.
    """
    clock = log_time(steps)
    if len(steps) < FEWEST:
        raise NotMeasurable(f"{len(steps)} checkpoints are too few to smooth: give {FEWEST} or more")
    width = _best_width(clock, values) if bandwidth is None else bandwidth
    grid = np.interp(np.arange(0, len(clock) - 1 + 1e-9, 0.05), np.arange(len(clock)), clock)
    level, slope, _ = local_fits(clock, grid, width)
    sd = np.sqrt(((slope * errors) ** 2).sum(1))
    noise = slope @ (errors[:, None] * np.random.default_rng(seed).standard_normal((len(clock), draws)))
    critical = np.quantile((np.abs(noise) / np.maximum(sd, 1e-300)[:, None]).max(0), 0.95)
    rises = slope @ values
    rises[np.abs(rises) <= critical * sd + 1e-9 * np.ptp(values)] = 0.0
    sure = np.flatnonzero(rises)
    points = []
    for before, after in itertools.pairwise(sure):
        if rises[before] * rises[after] < 0:
            fitted = (level @ values)[before : after + 1] * np.sign(rises[before])
            place = grid[before + int(fitted.argmax())]
            low = min(grid[before], clock[max(0, np.searchsorted(clock, place, side="right") - 1)])
            high = max(grid[after], clock[min(len(clock) - 1, np.searchsorted(clock, place))])
            kind: Literal["maximum", "minimum"] = "maximum" if rises[before] > 0 else "minimum"
            step, low, high = np.expm1([place, low, high]).tolist()
            points.append(CriticalPoint(step, low, high, kind))
    return points


def local_fits(
    clock: Float[np.ndarray, " checkpoint"], at: Float[np.ndarray, " at"], width: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Matrices [at, checkpoint] that give the values, first and second derivatives of local quadratic fits under a
    Gaussian kernel of this width; at least 6 checkpoints bear on each.
    """
    distance = clock - at[:, None]
    reach = np.maximum(width, np.sort(np.abs(distance), axis=1)[:, 5] / 2)[:, None]
    weight = np.exp(-0.25 * (distance / reach) ** 2)  # the square root of the kernel
    design = weight[:, :, None] * np.stack([np.ones_like(distance), distance, distance**2], axis=2)
    solved = np.linalg.pinv(design) * weight[:, None, :]
    return solved[:, 0], solved[:, 1], 2 * solved[:, 2]


def _best_width(clock: np.ndarray, values: np.ndarray) -> float:
    """The kernel width with the least mean square of residuals, each checkpoint left out of its own fit."""
    widths = np.geomspace(np.ptp(clock) / 60, np.ptp(clock) / 4, 12)
    mistakes = []
    for width in widths:
        hat = local_fits(clock, clock, float(width))[0]
        mistakes.append(np.mean(((values - hat @ values) / np.maximum(1 - np.diag(hat), 1e-6)) ** 2))
    return float(widths[int(np.argmin(mistakes))])
