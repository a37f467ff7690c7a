"""Onsets, turning points and clusters of curves: exact values, brute force, planted curves and curves without any."""

import itertools
import math

import numpy as np
import pytest

from experiments.statistics import clusters, onsets
from experiments.statistics.onsets import Crossing

STEPS = np.array([0, *range(100, 2000, 100), *range(2000, 10_000, 400)])
CLOCK = np.log1p(STEPS)


def logistic(middle: float, clock: np.ndarray = CLOCK, rate: float = 4.0) -> np.ndarray:
    return 1 / (1 + np.exp(-rate * (clock - math.log1p(middle))))


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


def test_turning_points_are_found_and_monotone_curves_have_none() -> None:
    errors = np.full(len(STEPS), 0.05)
    turning, covered, spurious = np.log1p([800.0, 3000.0]), [], []
    flat = np.where(CLOCK < 5, CLOCK, 5.0)
    for seed in range(24):
        noise = errors * np.random.default_rng(seed).standard_normal(len(STEPS))
        # a cubic whose slope is zero at the two steps
        curve = 3 * (CLOCK**3 / 3 - turning.sum() * CLOCK**2 / 2 + turning.prod() * CLOCK)
        points = onsets.critical_points(STEPS, curve + noise, errors, bandwidth=0.25, draws=200)
        assert [one.kind for one in points] == ["maximum", "minimum"]
        covered += [one.low <= step <= one.high for one, step in zip(points, np.expm1(turning), strict=True)]
        spurious.append(bool(onsets.critical_points(STEPS, flat + noise, errors, bandwidth=0.25, draws=200)))
    assert np.mean(covered) > 0.9 and np.mean(spurious) < 0.05 + 4 * math.sqrt(0.05 * 0.95 / 24)
    chosen = onsets.critical_points(STEPS, curve + noise, errors)
    assert [one.kind for one in chosen] == ["maximum", "minimum"] and 0 <= chosen[0].low < chosen[0].high


def test_warped_distances_are_those_of_the_recursion() -> None:
    curves = np.random.default_rng(0).standard_normal((4, 9))

    def least(x: np.ndarray, y: np.ndarray) -> float:
        if len(x) == 1 or len(y) == 1:
            return float(((x - y) ** 2).sum())
        return float((x[-1] - y[-1]) ** 2) + min(least(x[:-1], y), least(x, y[:-1]), least(x[:-1], y[:-1]))

    expected = [math.sqrt(least(curves[a, :6], curves[b, :6])) for a, b in itertools.combinations(range(4), 2)]
    assert np.allclose(clusters.warped_distances(curves[:, :6]), expected, atol=1e-12)
    late = np.stack([logistic(500), logistic(600)])
    assert clusters.warped_distances(late)[0] < 0.5 * np.linalg.norm(late[0] - late[1])


def test_adjusted_rand_is_that_of_hubert_and_arabie() -> None:
    table = np.array([[1, 1, 0], [1, 2, 1], [0, 0, 4]])  # (7 - 13 * 14 / 45) / (13.5 - 13 * 14 / 45)
    rows, columns = (np.repeat(index.ravel(), table.ravel()) for index in np.indices(table.shape))
    assert abs(clusters.adjusted_rand(rows, columns) - 133 / 425.5) < 1e-12
    assert clusters.adjusted_rand(np.array([0, 0, 1, 1]), np.array(["b", "b", "a", "a"])) == 1.0
    assert abs(clusters.adjusted_rand(np.array([0, 0, 1, 1]), np.array([0, 0, 1, 2])) - 4 / 7) < 1e-12
    assert clusters.adjusted_rand(np.zeros(4), np.arange(4)) == 0.0
    labels, types = np.array([0, 0, 1, 1, 2, 2]), np.array([0, 0, 0, 1, 1, 2])
    every = [clusters.adjusted_rand(labels, types[list(order)]) for order in itertools.permutations(range(6))]
    assert abs(np.mean(every)) < 1e-12  # 0 by chance


@pytest.mark.parametrize("method", ["k-means", "hierarchical", "DTW"])
@pytest.mark.parametrize("scaling", ["raw", "standardised", "min-max"])
def test_planted_groups_of_curves_are_found(method: clusters.Method, scaling: clusters.Scaling) -> None:
    generator, types = np.random.default_rng(0), np.array([2, 0, 0, 1, 2, 1, 0, 1])
    shapes = np.stack([logistic(300), 2 * logistic(3000), 4 - 2 * logistic(500)])
    curves = shapes[types] + 0.05 * generator.standard_normal((8, len(STEPS)))
    labels = clusters.cluster(curves, 3, method, scaling)
    assert clusters.adjusted_rand(labels, types) == 1.0 and labels[0] == 0 and set(labels) == {0, 1, 2}
    assert (clusters.cluster(curves, 3, method, scaling) == labels).all()
    assert np.allclose(clusters.scaled(3 * curves + 1, "min-max"), clusters.scaled(curves, "min-max"))
    with pytest.raises(ValueError, match="k=9"):
        clusters.cluster(curves, 9, method, scaling)


def test_summed_rand_is_exact_where_it_can_be_and_holds_its_size() -> None:
    types = np.array(["a", "a", "b", "b", "b"])
    alone = clusters.summed_rand([(np.array([0, 0, 1, 1, 1]), types)])
    assert alone.exact and alone.p == 1 / 10 and alone.value == alone.mean == 1.0
    both = clusters.summed_rand([(np.array([0, 0, 1, 1, 1]), types)] * 2)
    assert both.exact and both.p == 1 / 100 and both.each == (1.0, 1.0)
    generator, p, found = np.random.default_rng(0), [], []
    kinds = np.array([0, 0, 0, 1, 1, 1, 2, 2])
    for seed in range(100):
        groups = [(generator.permutation(kinds), kinds) for _ in range(4)]
        p.append(clusters.summed_rand(groups, draws=199, seed=seed).p)
        swapped = [
            (np.where(generator.random(8) < 0.25, generator.integers(3, size=8), kinds), kinds) for _ in range(4)
        ]
        found.append(clusters.summed_rand(swapped, draws=199, seed=seed).p) if seed < 20 else None
    # ties make it conservative, never the other way
    assert np.mean(np.array(p) <= 0.05) < 0.05 + 4 * math.sqrt(0.05 * 0.95 / 100) and min(p) < 0.1
    assert np.mean(np.array(found) < 0.01) > 0.8
