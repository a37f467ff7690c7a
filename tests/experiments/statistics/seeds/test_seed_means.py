"""Means over seeds: exact sign flips, Student's interval, and the level they keep where there is nothing."""

import numpy as np
import pytest
from scipy import stats

from experiments.statistics.seeds.seed_means import seed_mean


def test_p_is_the_share_of_flips_that_reach_the_mean() -> None:
    assert seed_mean([0.3] * 8).p == 1 / 256
    one_below = [1.0] * 7 + [-1.0]
    assert seed_mean(one_below).p == 9 / 256
    assert seed_mean([-value for value in one_below]).p == 1 - 1 / 256 - 8 / 256 + 8 / 256
    assert seed_mean([2.0]).p == seed_mean([2.0]).smallest_p == 0.5
    assert seed_mean([0.0, 0.0]).p == 1.0


def test_the_interval_is_students() -> None:
    values = np.random.default_rng(0).normal(0.4, 1.0, 6)
    found = seed_mean(values.tolist())
    assert found.interval == pytest.approx(stats.ttest_1samp(values, 0).confidence_interval(0.95), rel=1e-9)
    assert found.value == pytest.approx(values.mean())
    assert seed_mean([1.0]).interval is None


def test_the_level_is_kept_where_there_is_nothing_and_an_effect_is_found() -> None:
    drawn = np.random.default_rng(1)
    nothing = [seed_mean(drawn.standard_normal(8).tolist()) for _ in range(400)]
    assert np.mean([one.p < 0.05 for one in nothing]) < 0.08
    assert 0.92 < np.mean([one.interval[0] < 0 < one.interval[1] for one in nothing if one.interval]) < 0.98
    assert np.mean([seed_mean((drawn.standard_normal(8) + 1.5).tolist()).p < 0.05 for _ in range(100)]) > 0.9


@pytest.mark.parametrize("values", [[], [1.0, float("nan")], [1.0] * 17])
def test_what_cannot_be_tested_is_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="give one to 16 finite numbers"):
        seed_mean(values)
