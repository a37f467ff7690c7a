"""95% intervals of what the settings count and average."""

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

Interval = tuple[float, float, float]  # value, low, high


def share(hits: int, tries: int) -> Interval:
    """A share with Wilson's interval; NaN where nothing was tried."""
    if not tries:
        return math.nan, math.nan, math.nan
    found = stats.binomtest(hits, tries).proportion_ci(method="wilson")
    return hits / tries, float(found.low), float(found.high)


def mean(values: Sequence[float | int] | np.ndarray) -> Interval:
    """The mean of independent values, such as one for each seed, with Student's interval; NaN for less than two."""
    array = np.asarray(values, dtype=float)
    if len(array) < 2:
        return math.nan, math.nan, math.nan
    half = stats.t.ppf(0.975, len(array) - 1) * array.std(ddof=1) / math.sqrt(len(array))
    return float(array.mean()), float(array.mean() - half), float(array.mean() + half)


def spread(draws: np.ndarray) -> Interval:
    """Of a random quantity: its mean, and where 95% of the draws lie."""
    low, high = np.quantile(draws, (0.025, 0.975))
    return float(draws.mean()), float(low), float(high)


def slope(x: Sequence[float | int], y: Sequence[float | int]) -> Interval:
    """The slope of a line through points, with Student's interval; NaN for less than three points."""
    if len(x) < 3:
        return math.nan, math.nan, math.nan
    fit = stats.linregress(x, y)
    half = float(stats.t.ppf(0.975, len(x) - 2)) * float(fit.stderr)
    return float(fit.slope), float(fit.slope) - half, float(fit.slope) + half
