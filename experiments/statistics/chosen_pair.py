"""One pair of heads of each run, chosen by its change of overlap on half of the documents, tested on the others."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from experiments.statistics.overlap_change import DRAWS, Change
from experiments.statistics.permutation import maximum_test, p_value


class Halves(NamedTuple):
    """The changes on two halves of the documents, of which the first chooses a pair and the second tests it."""

    choosing: Change
    testing: Change

    @property
    def pair(self) -> tuple[int, int]:
        """Where the chosen pair stands, among the first and among the second heads."""
        first, second = np.unravel_index(np.argmax(self.choosing.standardised), self.choosing.value.shape)
        return int(first), int(second)

    @property
    def confirmed(self) -> Bool[np.ndarray, "first second"]:
        """Pairs with p < 0.05, corrected for all pairs, in both halves."""
        both = [maximum_test(half.standardised, half.standardised_null).p < 0.05 for half in self]
        return both[0] & both[1]


class MeanChange(NamedTuple):
    """The mean change of the runs' chosen pairs on the testing halves."""

    value: float
    se: float
    p: float
    null: Float[np.ndarray, " draw"]  # of value / se: of the permuted pairs with the largest changes
    degrees: float = np.inf  # of freedom, of se: those of the run with the fewest documents


def mean_change(runs: Sequence[Halves]) -> MeanChange:
    """One pair of each run, chosen on other documents, against the runs' pairs with the largest permuted changes."""
    value = np.array([halves.testing.value[halves.pair] for halves in runs])
    se = np.array([halves.testing.se[halves.pair] for halves in runs])
    sums, squares = np.zeros((2, DRAWS))
    for halves in runs:
        flat, null = halves.testing.null.reshape(DRAWS, -1), halves.testing.standardised_null.reshape(DRAWS, -1)
        largest = null.argmax(1)
        sums += flat[np.arange(DRAWS), largest]
        squares += flat.var(0)[largest]
    null, total = sums / np.sqrt(squares), float(np.sqrt((se**2).sum()))
    statistic = float(value.sum()) / total if total else 0.0
    degrees = min(halves.testing.degrees for halves in runs)
    return MeanChange(float(value.mean()), total / len(value), p_value(statistic, null), null, degrees)
