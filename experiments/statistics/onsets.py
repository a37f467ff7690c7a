"""When a score rose, and which of several rose first, each with an interval.

Training time is measured in log(step + 1), so that step 0 has a place.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Real
from scipy.optimize import isotonic_regression

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
    clock = log_time(steps)
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


def log_time(steps: Real[np.ndarray, " checkpoint"]) -> Float[np.ndarray, " checkpoint"]:
    """log(step + 1) of each checkpoint; raises ValueError for fewer than two, or steps that do not increase from 0."""
    if steps.ndim != 1 or len(steps) < 2 or steps[0] < 0 or (np.diff(steps) <= 0).any():
        raise ValueError("steps must be two or more, not negative, and increase: sort the checkpoints")
    return np.log1p(steps.astype(float))


def gap(before: Crossing, after: Crossing) -> tuple[float, float, float]:
    """How much later one crossing comes than another, in log(step + 1), and the ends of its 95% interval.

    The interval is that of a difference of independent errors, each side's width by itself. NaN where one is missing.
    """
    middle, low, high = np.log1p(np.array([[each.step, each.low, each.high] for each in (before, after)])).T
    value = float(middle[1] - middle[0])
    below = math.hypot(middle[1] - low[1], high[0] - middle[0])
    above = math.hypot(high[1] - middle[1], middle[0] - low[0])
    return value, value - below, value + above


def ordered(crossings: Sequence[Crossing], draws: int = 20_000, seed: int = 0) -> Order:
    """Tests whether each crossing comes before the next.

    The probability takes errors as independent, normal in log(step + 1), with each side's width of its own: below the
    estimate that of `low`, above that of `high`.
    """
    if len(crossings) < 2:
        raise ValueError(f"{len(crossings)} crossings have no order: give two or more")
    steps, lows, highs = (np.array([getattr(each, part) for each in crossings]) for part in ("step", "low", "high"))
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
