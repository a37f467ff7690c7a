"""Is something of a circuit better than what random sets of paths have, in nine of ten cases?

Three of the tests of Shi et al. (arXiv:2410.13032) are of this form: a number of the circuit is held against those of
random sets, and the test is whether it beats more than a share of all such sets, by the exact binomial test of how many
of the drawn ones it beats.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import stats

QUANTILE = 0.9


class AgainstRandom(NamedTuple):
    """A small p shows that the circuit beats more than the quantile of all random sets."""

    value: float  # of the circuit
    others: float  # the median of the random sets
    beaten: int  # of `draws`; a tie is not beaten
    draws: int
    p: float


def against_random(
    value: float, others: Float[np.ndarray, " draw"], quantile: float = QUANTILE, tie: float = 1e-6
) -> AgainstRandom:
    """Whether value is larger than that of more than this share of random sets.

    With n draws the smallest p is quantile to the n: it takes 29 or more at 0.9 to show anything at 5%.
    """
    if not 0 < quantile < 1:
        raise ValueError(f"quantile={quantile}: it lies between 0 and 1")
    beaten, draws = int((value > others + tie).sum()), len(others)
    p = float(stats.binom.sf(beaten - 1, draws, quantile))
    return AgainstRandom(value, float(np.median(others)), beaten, draws, p)
