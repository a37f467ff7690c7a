"""Types that are predicted from other seeds: planted ones, noise, and shuffled types."""

import math

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
    noise = [generator.standard_normal((24, 3)) for _ in range(2)]
    better = prediction.accuracy_difference(away, noise, types, layers, seeds, draws=300)
    assert better.first == 1.0 and better.chance == 0.5 and better.units == 23 and better.interval[0] > 0
    same = prediction.accuracy_difference(noise[0], [noise[1], away], types, layers, seeds, draws=300)
    assert same.interval[1] < 0 and same.value < 0
    shuffled = [generator.permutation(types) for _ in range(40)]
    found = [prediction.accuracy_difference(told, noise, kinds, layers, seeds, draws=100) for kinds in shuffled]
    assert np.mean([one.interval[0] > 0 for one in found]) < 0.05 + 4 * math.sqrt(0.05 * 0.95 / 40)
