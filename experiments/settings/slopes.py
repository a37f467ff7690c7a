"""How one number grows with another over trained networks, with 95% intervals by Student's t."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats


class Estimate(NamedTuple):
    """A number with the ends of its 95% interval; infinite where too few values are given."""

    value: float
    low: float
    high: float

    def times(self, factor: float) -> "Estimate":
        """The number in another unit; the factor must be positive."""
        return Estimate(factor * self.value, factor * self.low, factor * self.high)


def exponent(x: ArrayLike, y: ArrayLike) -> Estimate:
    """The exponent b of y = a x^b: least squares through the logarithms, one point for each network."""
    return slope(np.log(x), np.log(y))


def slope(x: ArrayLike, y: ArrayLike) -> Estimate:
    """The slope of a straight line by least squares, the residuals' spread being its error."""
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if len(np.unique(x)) < 2 or len(x) < 3:
        raise ValueError(f"{len(x)} points at {len(np.unique(x))} places: a slope with an interval needs 3 at 2 places")
    fit = stats.linregress(x, y)
    return _around(float(fit.slope), float(fit.stderr), len(x) - 2)


def mean(values: ArrayLike) -> Estimate:
    """The mean over networks."""
    values = np.asarray(values, dtype=float)
    if len(values) < 2:
        raise ValueError(f"{len(values)} value: a mean with an interval needs 2")
    return _around(float(values.mean()), float(values.std(ddof=1) / len(values) ** 0.5), len(values) - 1)


def _around(value: float, error: float, degrees: int) -> Estimate:
    half = float(stats.t.ppf(0.975, degrees)) * error
    return Estimate(value, value - half, value + half)
