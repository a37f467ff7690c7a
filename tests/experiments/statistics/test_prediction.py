"""Types that are predicted from other seeds: planted ones, noise, and shuffled types."""

import numpy as np

from experiments.statistics import prediction


def test_types_are_predicted_from_other_seeds_in_the_same_layer() -> None:
    seeds, layers = np.repeat(np.arange(3), 8), np.tile(np.repeat([0, 1], 4), 3)
    types = np.array([["a", "a", "b", "b", "b", "b", "a", "a"]] * 3).ravel()
    generator = np.random.default_rng(0)
    # in layer 1 the values of the types are exchanged: only within a layer do they tell
    told = ((types == "a") ^ (layers == 1)).astype(float)[:, None] + 0.05 * generator.standard_normal((24, 3))
    types[-1] = "c"  # no other seed has one
    away = told.copy()
    away[-1] = 9.0
    right, possible = prediction.predicted(away, types, layers, seeds)
    assert right[:-1].all() and possible[:-1].all() and not possible[-1]
    assert prediction.predicted(away, types, layers * 0, seeds)[0].mean() < 0.8
    found = prediction.accuracies(away, types, layers, seeds)
    assert found == {"0": 1.0, "1": 1.0, "2": 1.0}  # heads of a type that no other seed has are left out
    shuffled = [generator.permutation(types) for _ in range(40)]
    by_chance = [np.mean(list(prediction.accuracies(told, kinds, layers, seeds).values())) for kinds in shuffled]
    assert abs(np.mean(by_chance) - 0.5) < 0.08


def test_types_of_a_seed_weigh_alike() -> None:
    """The one head of its type is missed, the three of the other are told."""
    seeds, types = np.repeat(np.arange(2), 4), np.array(["a", "b", "b", "b"] * 2)
    told = np.array([[1.0], [0.0], [0.0], [0.0], [0.1], [0.0], [0.0], [0.0]])
    found = prediction.accuracies(told, types, np.zeros(8), seeds)
    assert found["1"] == 0.5
    assert prediction.accuracies(told[:4], types[:4], np.zeros(4), seeds[:4]) == {}
