"""The mean of one number a training seed, with the seed as the unit: an exact test and an interval."""

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from experiments.statistics.intervals import reach

MOST = 16  # seeds whose sign flips are all tried


class SeedMean(NamedTuple):
    """A mean over seeds; the interval is None for one seed, which has no spread."""

    value: float
    interval: tuple[float, float] | None  # 95%, Student's t with one degree less than seeds
    p: float  # one-sided, for a mean above 0
    smallest_p: float  # that so many seeds can give


def seed_mean(values: Sequence[float]) -> SeedMean:
    """The mean of independent values, tested by all flips of their signs: p is the share of flips whose mean is at
    least as large.

    The null is that each value is as likely to be its own negative. Raises ValueError for none, for values that are not
    finite, and for more than 16, whose flips are too many.
    """
    numbers = np.array(values, dtype=float)
    count = len(numbers)
    if not 1 <= count <= MOST or not np.isfinite(numbers).all():
        raise ValueError(f"values={list(values)}: give one to {MOST} finite numbers")
    mean = float(numbers.mean())
    flips = np.array(list(itertools.product((1.0, -1.0), repeat=count)))
    means = flips @ numbers / count
    p = float((means >= mean - 1e-12 * max(1.0, abs(mean))).mean())
    interval = None
    if count > 1:
        half = reach(count - 1) * float(numbers.std(ddof=1)) / math.sqrt(count)
        interval = (mean - half, mean + half)
    return SeedMean(mean, interval, p, 0.5**count)
