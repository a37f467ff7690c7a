"""Onsets and their order: exact values, planted curves and curves without any."""

import math

import numpy as np
import pytest

from experiments.statistics import onsets
from experiments.statistics.onsets import Crossing
from tests.experiments.statistics.logistic import STEPS, logistic


@pytest.mark.parametrize("share", [0.2, 0.5])
def test_the_onset_of_a_logistic_rise_is_exact(share: float) -> None:
    steps = np.arange(0, 20_000, 2)
    values = logistic(1000, np.log1p(steps))
    level = values[0] + share * (values[-1] - values[0])
    truth = math.expm1(math.log1p(1000) + math.log(level / (1 - level)) / 4)
    found = onsets.crossing(steps, values, share)
    assert abs(found.step - truth) < 0.01 and found.low <= truth <= found.high and found.high - found.low < 2.001
    assert abs(onsets.crossing(steps, 7 - 3 * (1 - values), share).step - found.step) < 1e-6  # of any unit


def test_between_checkpoints_time_is_logarithmic() -> None:
    found = onsets.crossing(np.array([0, 99, 9999]), np.array([0.0, 0.0, 1.0]), 0.5)
    assert abs(found.step - 999) < 1e-6 and abs(found.low - 99) < 1e-6 and abs(found.high - 9999) < 1e-6
    assert abs(onsets.crossing(np.array([0, 99]), np.array([0.0, 1.0]), 0.75, end=0.5).step - (100**0.375 - 1)) < 1e-9


def test_onset_intervals_cover_the_truth_and_noise_does_not_set_it_off() -> None:
    errors, covered = np.full(len(STEPS), 0.05), []
    truth = onsets.crossing(STEPS, logistic(1000), 0.2).step
    for seed in range(60):
        values = logistic(1000) + errors * np.random.default_rng(seed).standard_normal(len(STEPS))
        found = onsets.crossing(STEPS, values, 0.2, errors=errors, draws=60, seed=seed)
        covered.append(found.low <= truth <= found.high)
    assert np.mean(covered) > 0.95 - 4 * math.sqrt(0.05 * 0.95 / 60)
    early = logistic(1000)
    early[2] = 0.9  # one outlier before the rise, which a first passing would take
    assert onsets.crossing(STEPS, early, 0.5).low > 500


def test_what_does_not_rise_has_no_onset() -> None:
    generator = np.random.default_rng(0)
    found = [
        onsets.crossing(STEPS, 0.1 * generator.standard_normal(len(STEPS)), 0.2, errors=np.full(len(STEPS), 0.1))
        for _ in range(100)
    ]
    assert sum(math.isnan(one.step) for one in found) >= 98
    assert "least that counts" in onsets.crossing(STEPS, 0.1 * logistic(1000), 0.2, minimum=0.2).reason
    assert math.isnan(onsets.crossing(STEPS, -logistic(1000), 0.2).step)
    with pytest.raises(ValueError, match="increase"):
        onsets.crossing(STEPS[::-1].copy(), logistic(1000), 0.2)


def test_the_order_of_crossings() -> None:
    apart = [Crossing(100, 90, 110), Crossing(200, 180, 220), Crossing(900, 500, 1500)]
    assert onsets.ordered(apart) == (True, True, False, 1.0)
    assert onsets.ordered(apart[::-1]) == (False, False, True, 0.0)
    same = onsets.ordered([Crossing(100, 90, 111), Crossing(100, 90, 111)])
    assert not same.holds and not same.reversed and abs(same.probability - 0.5) < 4 * math.sqrt(0.25 / 20_000)
    assert math.isnan(onsets.ordered([*apart, Crossing(math.nan, math.nan, math.nan)]).probability)
