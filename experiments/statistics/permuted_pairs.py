"""Whether chosen pairs of heads change more than pairs of heads in which the heads are permuted."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from experiments.statistics.permutation import p_value

DRAWS = 4999


class PairTest(NamedTuple):
    """The largest mean over inputs, in standard deviations of all pairs, and the same of permuted pairs."""

    value: float
    by_via: Float[np.ndarray, " via"]
    null: Float[np.ndarray, " draw"]

    @property
    def threshold(self) -> float:
        """The 95th percentile of permuted pairs."""
        return float(np.quantile(self.null, 0.95))

    @property
    def met(self) -> bool:
        """Whether the pairs change more than that."""
        return self.value > self.threshold

    @property
    def p(self) -> float:
        """The share of permuted pairs that change as much."""
        return p_value(self.value, self.null)

    @property
    def interval(self) -> tuple[float, float]:
        """95%, from the spread of permuted pairs around their mean."""
        low, high = np.quantile(self.null, [0.025, 0.975]) - self.null.mean()
        return self.value - float(high), self.value - float(low)


def standardised(change: Float[np.ndarray, "first second via"]) -> Float[np.ndarray, "first second via"]:
    """Changes less the mean of all pairs and over their standard deviation, for each input."""
    return (change - change.mean((0, 1))) / np.maximum(change.std((0, 1)), 1e-12)


def pair_test(
    changes: Sequence[Float[np.ndarray, "_ _ via"]],
    places: Sequence[tuple[Int[np.ndarray, " _"], Int[np.ndarray, " _"]]],
    draws: int = DRAWS,
) -> PairTest:
    """The mean over the pairs of each run and over runs, of the best input, and the same under permuted heads.

    changes: of each run, standardised; places: of each run, where its pairs' first and second heads stand. A draw
    permutes the heads of each side, and all pairs with them, and takes the same maximum.
    """
    by_via = np.mean([change[a, b].mean(0) for change, (a, b) in zip(changes, places, strict=True)], axis=0)
    generator, null = np.random.default_rng(0), np.empty(draws)
    for draw in range(draws):
        means = []
        for change, (a, b) in zip(changes, places, strict=True):
            rows, columns = (generator.permutation(count) for count in change.shape[:2])
            means.append(change[rows[a], columns[b]].mean(0))
        null[draw] = np.mean(means, axis=0).max()
    return PairTest(float(by_via.max()), by_via, null)
