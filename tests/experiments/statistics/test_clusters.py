"""Clusters of curves against types: exact values, brute force, planted groups and shuffled types."""

import itertools
import math

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from ablations.not_measurable import NotMeasurable
from experiments.statistics import clusters
from tests.experiments.statistics.logistic import STEPS, logistic


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
    orders = [list(order) for order in itertools.permutations(range(6))]
    every = [clusters.adjusted_rand(labels, types[order]) for order in orders]
    assert np.allclose(every, [adjusted_rand_score(types[order], labels) for order in orders], atol=1e-12)
    assert abs(np.mean(every)) < 1e-12  # 0 by chance


def test_k_means_has_the_least_sum_of_squares_of_all_partitions() -> None:
    def squares(points: np.ndarray, labels: np.ndarray) -> float:
        parts = [points[labels == number] for number in set(labels.tolist())]
        return float(sum(((part - part.mean(0)) ** 2).sum() for part in parts))

    for seed in range(3):
        points = np.cumsum(np.random.default_rng(seed).standard_normal((7, 9)), 1)
        every = [np.array(labels) for labels in itertools.product(range(3), repeat=7) if len(set(labels)) == 3]
        found = clusters.k_means(points, 3, seed=seed)
        best = min(squares(points, labels) for labels in every)
        assert abs(squares(points, found) - best) < 1e-9 and squares(points, np.roll(found, 1)) > best + 1e-6
    with pytest.raises(NotMeasurable, match="fewer different ones"):
        clusters.k_means(np.repeat(np.eye(2), 3, 0), 3)


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
