"""One pair of heads of each run, chosen by its change of overlap on half of the documents, tested on the others."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from experiments.statistics.overlap_change import Change
from experiments.statistics.permutation import maximum_test, p_value


class Halves(NamedTuple):
    """The changes on two halves of the documents, of which the first chooses a pair and the second tests it."""

    choosing: Change
    testing: Change

    @property
    def confirmed(self) -> Bool[np.ndarray, "first second"]:
        """Pairs with p < 0.05, corrected for all pairs, in both halves."""
        both = [maximum_test(half.standardised, half.standardised_null).p < 0.05 for half in self]
        return both[0] & both[1]


class PairChanges(NamedTuple):
    """What tests need of a run's changes: all but the permuted ones, and of these the largest of each draw."""

    value: Float[np.ndarray, "half first second"]  # choosing, testing
    se: Float[np.ndarray, "half first second"]
    confirmed: Bool[np.ndarray, "first second"]  # as in `Halves`
    largest: Float[np.ndarray, " draw"]  # testing half: the change of the pair that is largest in standard deviations
    variance: Float[np.ndarray, " draw"]  # of the permuted changes of that pair

    @property
    def pair(self) -> tuple[int, int]:
        """Where the chosen pair stands, among the first and among the second heads."""
        standardised = np.divide(self.value[0], self.se[0], out=np.zeros_like(self.se[0]), where=self.se[0] > 0)
        first, second = np.unravel_index(np.argmax(standardised), standardised.shape)
        return int(first), int(second)

    @property
    def tested(self) -> float:
        """The change of the chosen pair on the testing half."""
        return float(self.value[1][self.pair])

    @property
    def tested_se(self) -> float:
        """Its standard error, by document."""
        return float(self.se[1][self.pair])


class MeanChange(NamedTuple):
    """The mean change of the runs' chosen pairs on the testing halves."""

    value: float
    se: float
    p: float
    null: Float[np.ndarray, " draw"]  # of value / se: of the permuted pairs with the largest changes


def reduced(halves: Halves) -> PairChanges:
    """What is kept of both halves."""
    standardised = halves.testing.standardised_null
    null, count = halves.testing.null.reshape(len(standardised), -1), len(standardised)
    largest = standardised.reshape(count, -1).argmax(1)
    return PairChanges(
        np.stack([half.value for half in halves]),
        np.stack([half.se for half in halves]),
        halves.confirmed,
        null[np.arange(count), largest],
        null.var(0)[largest],
    )


def mean_change(runs: Sequence[PairChanges]) -> MeanChange:
    """One pair of each run, chosen on other documents, against the runs' pairs with the largest permuted changes."""
    value, se = np.array([run.tested for run in runs]), np.array([run.tested_se for run in runs])
    null = sum(run.largest for run in runs) / np.sqrt(sum(run.variance for run in runs))
    total = float(np.sqrt((se**2).sum()))
    statistic = float(value.sum()) / total if total else 0.0
    return MeanChange(float(value.mean()), total / len(value), p_value(statistic, null), null)
