"""How one number grows with another over trained networks: exponents, and slopes in other units."""

import numpy as np
from jaxtyping import Float, Int

from experiments.settings import intervals
from experiments.settings.intervals import Interval

SHUFFLES = 2000
Numbers = Float[np.ndarray, " network"] | Int[np.ndarray, " network"]


def exponent(x: Numbers, y: Numbers) -> Interval:
    """The exponent b of y = a x^b with its interval: a line through the logarithms, one point for each network."""
    return line(np.log(x), np.log(y))


def line(x: Numbers, y: Numbers) -> Interval:
    """The slope of a straight line with its interval, one point for each network."""
    return intervals.slope(x.tolist(), y.tolist())


def shuffled(x: Numbers, y: Numbers) -> Interval:
    """A control: the slope with x in random order, its mean and where 95% of the slopes lie."""
    generator = np.random.default_rng(0)
    return intervals.spread(np.array([np.polyfit(generator.permutation(x), y, 1)[0] for _ in range(SHUFFLES)]))


def times(interval: Interval, factor: float | int) -> Interval:
    """The same number in another unit; the factor is positive."""
    value, low, high = (factor * end for end in interval)
    return value, low, high
