"""What a test of a mean over seeds could have found, and how many seeds it would take to find an effect.

By the noncentral t distribution, for one-sided tests of normal values. The exact test by sign flips, whose p is a
multiple of 1 / 2^seeds, has nearly this power from five seeds on, and none below.
"""

import math

import numpy as np
from scipy import optimize, stats

POWER, ALPHA = 0.8, 0.05
MOST = 1000  # seeds that are thought of


def power(effect: float, sd: float, seeds: int, alpha: float = ALPHA) -> float:
    """The probability that a mean over seeds passes the test where values have this mean and standard deviation."""
    if seeds < 2 or 0.5**seeds >= alpha:
        return 0.0
    if sd == 0:
        return float(effect > 0)
    critical = stats.t.ppf(1 - alpha, seeds - 1)
    return float(stats.nct.sf(critical, seeds - 1, effect * math.sqrt(seeds) / sd))


def smallest_effect(sd: float, seeds: int, alpha: float = ALPHA) -> float:
    """The effect that passes with a probability of 80%; infinite where none can with so few seeds."""
    if not np.isfinite(sd) or seeds < 2 or 0.5**seeds >= alpha:
        return math.inf
    if sd == 0:
        return 0.0
    scale = sd / math.sqrt(seeds)
    return float(optimize.brentq(lambda effect: power(effect, sd, seeds, alpha) - POWER, 0.0, 200 * scale))


def seeds_needed(effect: float, sd: float, alpha: float = ALPHA) -> int | None:
    """The fewest seeds with which this effect passes with a probability of 80%; None for more than 1,000."""
    if not (np.isfinite(sd) and effect > 0):
        return None
    enough = (seeds for seeds in range(2, MOST + 1) if power(effect, sd, seeds, alpha) >= POWER)
    return next(enough, None)
