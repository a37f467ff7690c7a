"""When a score rose, which of several rose first, and where a curve over training turns, each with an interval.

Training time is measured in log(step + 1), so that step 0 has a place.
"""

import itertools
import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Real
from scipy.optimize import isotonic_regression

from ablations.not_measurable import NotMeasurable

Z = 1.959963984540054  # of a 95% interval


class Crossing(NamedTuple):
    """The step at which a score had made a share of its rise, with its 95% interval; NaN with a reason."""

    step: float
    low: float
    high: float
    reason: str = ""


class Order(NamedTuple):
    """Whether each of several crossings comes before the next."""

    holds: bool  # strictly, in the estimates
    separated: bool  # and no two neighbours' intervals overlap
    reversed: bool  # some crossing's interval lies wholly before that of the one it should follow
    probability: float  # of the whole order, errors independent; NaN where a crossing is missing


class CriticalPoint(NamedTuple):
    """A step at which a curve turns, between two steps at which its slope surely has opposite signs."""

    step: float
    low: float
    high: float
    kind: Literal["maximum", "minimum"]


def crossing(
    steps: Real[np.ndarray, " checkpoint"],
    values: Float[np.ndarray, " checkpoint"],
    share: float,
    start: float | None = None,
    end: float | None = None,
    *,
    errors: Float[np.ndarray, " checkpoint"] | None = None,
    minimum: float = 0.0,
    draws: int = 1000,
    seed: int = 0,
) -> Crossing:
    """The step at which a score passes start + share (end - start), interpolated between checkpoints in log(step + 1).

    start, end: the first and the last value unless given. What passes is the least-squares non-decreasing fit of the
    values: noise before the rise, or a peak that falls back to the start, does not set it off early. The interval is
    the 95% of draws with normal errors added to the values (start and end move along unless given), and never narrower
    than the two checkpoints around the estimate. NaN where the rise is below `minimum` or 4 standard errors. A score
    that falls must be negated by the caller. ValueError for steps that do not increase, or a share outside (0, 1).
    """
    clock = _clock(steps)
    if not 0 < share < 1:
        raise ValueError(f"share={share}: it lies between 0 and 1, as 0.2 for the onset")
    noise = np.zeros_like(values) if errors is None else errors
    if not np.isfinite(values).all() or not np.isfinite(noise).all():
        return _missing("a value is not finite")
    first, last = values[0] if start is None else start, values[-1] if end is None else end
    sd = math.hypot(noise[0] if start is None else 0.0, noise[-1] if end is None else 0.0)
    rise = float(last - first)
    if not rise > 0 or rise < max(4 * sd, minimum):
        return _missing(f"a rise of {rise:.3g} is below {max(4 * sd, minimum):.3g}, the least that counts")
    passed, after = _passed(clock, values, share, start, end)
    if math.isnan(passed):
        return _missing("the level is not passed between the first and the last checkpoint")
    generator = np.random.default_rng(seed)
    drawn = values + noise * generator.standard_normal((draws if noise.any() else 1, len(values)))
    low, high = np.nanquantile([_passed(clock, row, share, start, end)[0] for row in drawn], [0.025, 0.975])
    low, high = min(low, clock[after - 1]), max(high, clock[after])
    return Crossing(*np.expm1([passed, low, high]).tolist())


def _passed(
    clock: np.ndarray, values: np.ndarray, share: float, start: float | None, end: float | None
) -> tuple[float, int]:
    """Time at which the non-decreasing fit passes the level, and the checkpoint after it."""
    first, last = values[0] if start is None else start, values[-1] if end is None else end
    # the fit starts at or below the first value and ends at or above the last, so a level between them is passed
    fit, level = isotonic_regression(values).x, first + share * (last - first)
    if not fit[0] < level <= fit[-1]:
        return math.nan, 0
    after = int(np.argmax(fit >= level))
    part = (level - fit[after - 1]) / (fit[after] - fit[after - 1])
    return float(clock[after - 1] + part * (clock[after] - clock[after - 1])), after


def _missing(reason: str) -> Crossing:
    return Crossing(math.nan, math.nan, math.nan, reason)


def _clock(steps: np.ndarray) -> np.ndarray:
    if steps.ndim != 1 or len(steps) < 2 or steps[0] < 0 or (np.diff(steps) <= 0).any():
        raise ValueError("steps must be two or more, not negative, and increase: sort the checkpoints")
    return np.log1p(steps.astype(float))


def ordered(crossings: Sequence[Crossing], draws: int = 20_000, seed: int = 0) -> Order:
    """Does each crossing come before the next?

    The probability takes errors as independent, normal in log(step + 1), with each side's width of its own: below the
    estimate that of `low`, above that of `high`.
    """
    if len(crossings) < 2:
        raise ValueError(f"{len(crossings)} crossings have no order: give two or more")
    steps, lows, highs = (np.array([getattr(one, part) for one in crossings]) for part in ("step", "low", "high"))
    if np.isnan(steps).any():
        return Order(False, False, False, math.nan)
    z = np.random.default_rng(seed).standard_normal((draws, len(crossings)))
    middle, below, above = (np.log1p(part) for part in (steps, lows, highs))
    drawn = middle + z / Z * np.where(z < 0, middle - below, above - middle)
    return Order(
        holds=bool((np.diff(steps) > 0).all()),
        separated=bool((highs[:-1] < lows[1:]).all()),
        reversed=bool((highs[1:] < lows[:-1]).any()),
        probability=float((np.diff(drawn, axis=1) > 0).all(1).mean()),
    )


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
    clock = _clock(steps)
    if len(steps) < 8:
        raise NotMeasurable(f"{len(steps)} checkpoints are too few to smooth: give 8 or more")
    width = _best_width(clock, values) if bandwidth is None else bandwidth
    grid = np.interp(np.arange(0, len(clock) - 1 + 1e-9, 0.05), np.arange(len(clock)), clock)
    level, slope = _local_fits(clock, grid, width)
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


def _local_fits(clock: np.ndarray, at: np.ndarray, width: float) -> tuple[np.ndarray, np.ndarray]:
    """Matrices [at, checkpoint] that give the smoothed values and slopes; at least 6 checkpoints bear on each."""
    distance = clock - at[:, None]
    reach = np.maximum(width, np.sort(np.abs(distance), axis=1)[:, 5] / 2)[:, None]
    weight = np.exp(-0.25 * (distance / reach) ** 2)  # the square root of the kernel
    design = weight[:, :, None] * np.stack([np.ones_like(distance), distance, distance**2], axis=2)
    solved = np.linalg.pinv(design) * weight[:, None, :]
    return solved[:, 0], solved[:, 1]


def _best_width(clock: np.ndarray, values: np.ndarray) -> float:
    """The kernel width with the least mean square of residuals, each checkpoint left out of its own fit."""
    widths = np.geomspace(np.ptp(clock) / 60, np.ptp(clock) / 4, 12)
    mistakes = []
    for width in widths:
        hat = _local_fits(clock, clock, float(width))[0]
        mistakes.append(np.mean(((values - hat @ values) / np.maximum(1 - np.diag(hat), 1e-6)) ** 2))
    return float(widths[int(np.argmin(mistakes))])
