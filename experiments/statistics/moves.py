"""Which multigrams move from one layer to the other, and a sign test in which each target has one vote.

A multigram moves from layer 0 to 1 when what layer 0 does for it falls and what layer 1 does rises, both by more than
their 95% intervals reach, and this on each of two halves of the documents. Multigrams with the same target share
completions, so that targets are counted.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import stats

from experiments.statistics.intervals import reach


class Changes(NamedTuple):
    """Late minus early in nats, less each layer's mean; NaN with fewer than 20 completions on the half."""

    value: Float[np.ndarray, "half layer multigram"]
    se: Float[np.ndarray, "half layer multigram"]
    degrees: Float[np.ndarray, "half layer multigram"] | float = np.inf  # of freedom, of the errors

    @property
    def testable(self) -> Bool[np.ndarray, " multigram"]:
        """Which multigrams have enough completions on both halves."""
        return np.isfinite(self.se).all((0, 1))

    @property
    def beyond_errors(self) -> tuple[Bool[np.ndarray, "layer multigram"], Bool[np.ndarray, "layer multigram"]]:
        """Where a layer's change lies below 0, and where above, beyond the errors, on both halves."""
        beyond = np.where(np.isfinite(self.se), reach(self.degrees) * self.se, np.inf)
        return np.all(self.value < -beyond, axis=0), np.all(self.value > beyond, axis=0)

    def moved(self, source: int) -> Bool[np.ndarray, " multigram"]:
        """Which multigrams moved from layer `source` to the other, beyond the errors, on both halves."""
        fallen, risen = self.beyond_errors
        return fallen[source] & risen[1 - source]


class Votes(NamedTuple):
    """Targets whose multigrams move, by direction, and the sign test."""

    claimed: int  # from layer 0 to 1
    other: int  # from layer 1 to 0

    @property
    def p(self) -> float:
        """One-sided: more in the claimed direction; 1 without any."""
        if not sum(self):
            return 1.0
        return float(stats.binomtest(self.claimed, sum(self), alternative="greater").pvalue)

    @property
    def share(self) -> float:
        """The share of the claimed direction; NaN without any."""
        return self.claimed / sum(self) if sum(self) else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        """95%, of the share (Clopper and Pearson)."""
        if not sum(self):
            return 0.0, 1.0
        low, high = stats.binomtest(self.claimed, sum(self)).proportion_ci()
        return float(low), float(high)


def votes(changes: Changes, target: Int[np.ndarray, " multigram"]) -> Votes:
    """Each target's vote, if its multigrams do not move both ways alike."""
    return _votes(changes.moved(0), changes.moved(1), target)


def at_random(changes: Changes, target: Int[np.ndarray, " multigram"], draws: int) -> tuple[float, float]:
    """The mean votes in either direction where layer 1's changes are those of other multigrams: moves that the spreads
    of the two layers would give by themselves. changes: of multigrams that are all testable.
    """
    generator, sums = np.random.default_rng(0), np.zeros(2)
    fallen, risen = changes.beyond_errors
    for _ in range(draws):
        index = generator.permutation(len(target))
        sums += _votes(fallen[0] & risen[1][index], fallen[1][index] & risen[0], target)
    claimed, other = sums / draws
    return float(claimed), float(other)


def _votes(
    forth: Bool[np.ndarray, " multigram"], back: Bool[np.ndarray, " multigram"], target: Int[np.ndarray, " multigram"]
) -> Votes:
    names, home = np.unique(target, return_inverse=True)
    balance = np.bincount(home, forth.astype(float) - back, len(names))
    return Votes(int((balance > 0).sum()), int((balance < 0).sum()))


def clearest(changes: Changes, target: Int[np.ndarray, " multigram"]) -> list[int]:
    """The multigrams that move from layer 0 to 1, by the smallest of their changes in standard errors; one a target."""
    moved = np.flatnonzero(changes.moved(0))
    strength = np.abs(changes.value / changes.se)[:, :, moved].min((0, 1))
    order = moved[np.argsort(-strength, kind="stable")]
    first = np.unique(target[order], return_index=True)[1]
    return [int(number) for number in order[np.sort(first)]]
