"""Power of a mean over seeds, against simulated seeds and the exact test that findings use."""

import math

import numpy as np
import pytest

from experiments.statistics.seeds import power
from experiments.statistics.seeds.seed_means import seed_mean


@pytest.mark.parametrize(("seeds", "effect"), [(8, 0.8), (8, 1.2), (6, 1.2)])
def test_the_exact_test_passes_as_often_as_it_says(seeds: int, effect: float) -> None:
    generator = np.random.default_rng(seeds)
    draws = 1000
    passed = [seed_mean(generator.normal(effect, 1.0, seeds).tolist()).p < 0.05 for _ in range(draws)]
    expected = power.power(effect, 1.0, seeds)
    assert abs(np.mean(passed) - expected) < 0.06, "p is a multiple of 1/2^n, so that the level is a little below 5%"
    assert power.power(0.0, 1.0, seeds) == pytest.approx(0.05), "no effect passes at the level"


def test_the_smallest_effect_has_a_power_of_80_percent_and_needs_that_many_seeds() -> None:
    smallest = power.smallest_effect(2.0, 8)
    assert power.power(smallest, 2.0, 8) == pytest.approx(0.8)
    assert power.seeds_needed(smallest * 1.0001, 2.0) == 8
    assert power.seeds_needed(smallest / 2, 2.0) > 8
    assert power.smallest_effect(1.0, 8, alpha=0.01) > power.smallest_effect(1.0, 8)


def test_too_few_seeds_show_nothing() -> None:
    assert power.smallest_effect(1.0, 4) == math.inf, "four seeds give no p below 1/16"
    assert power.power(100.0, 1.0, 4) == 0.0
    assert power.smallest_effect(math.nan, 8) == math.inf
    assert power.seeds_needed(0.0, 1.0) is None
    assert power.seeds_needed(1e-3, 10.0) is None
    assert power.seeds_needed(1.0, 0.0) == 5
