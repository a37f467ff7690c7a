"""Does a circuit do as well as the model, prompt by prompt?

Shi et al. (arXiv:2410.13032) count the share of prompts on which the circuit beats the model and reject where it is not
a half. That a difference was not seen is no equivalence, and with many prompts any difference is seen. So here it is
equivalence that has to be shown: both one-sided tests, that the share lies above a half minus a margin and below a half
plus it (Schuirmann 1987), where the margin is fixed beforehand.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import stats

MARGIN = 0.1


class Equivalence(NamedTuple):
    """p is that of the share lying outside the margin: a small one shows that the circuit does as the model."""

    share: float  # of the prompts on which the circuit beats the model; ties count half
    margin: float
    prompts: int
    p: float


def equivalence(
    circuit: Float[np.ndarray, " prompt"],
    model: Float[np.ndarray, " prompt"],
    margin: float = MARGIN,
    tie: float = 0.0,
) -> Equivalence:
    """Holds the circuit's metric on each prompt against the model's; differences up to `tie` are ties.

    t-tests of scores: 1 where the circuit wins, a half at a tie, 0 where it loses. To show anything it takes about 70
    prompts, or ties. Raises ValueError for a margin outside 0 to a half, and fewer than two prompts.
    """
    if not 0 < margin < 0.5 or len(model) < 2:
        raise ValueError(f"margin={margin}, {len(model)} prompts: a margin lies between 0 and a half, of two or more")
    difference = circuit - model
    scores = np.where(abs(difference) <= tie, 0.5, (difference > 0).astype(float))
    share, se = float(scores.mean()), float(scores.std(ddof=1) / len(scores) ** 0.5)
    outside = max(share - (0.5 + margin), (0.5 - margin) - share)  # negative: inside by so much
    p = float(stats.t.cdf(outside / se, len(scores) - 1)) if se else float(outside >= 0)
    return Equivalence(share, margin, len(scores), p)
