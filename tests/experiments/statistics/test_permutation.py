"""Permutation tests within strata: every permutation, p-values by hand, size under the null, planted effects."""

import math

import numpy as np

from experiments.statistics import permutation
from tests.experiments.statistics.sizes import share_below


def test_every_permutation_within_strata_is_enumerated_once() -> None:
    strata, like = np.array([1, 0, 0, 1, 0]), np.array(["a", "b", "b", "c", "d"])
    found = [tuple(index) for index in permutation.permutations(strata, 5, 0)]
    assert len(found) == len(set(found)) == 3 * 2 * 2 - 1 == permutation.distinct(strata) - 1
    assert all((strata[list(index)] == strata).all() and sorted(index) == list(range(5)) for index in found)
    different = {tuple(like[index]) for index in permutation.permutations(strata, 5, 0, like)}
    expected = {tuple(like[list(index)]) for index in found} - {tuple(like)}
    assert different == expected and len(different) == permutation.distinct(strata, like) - 1


def test_random_permutations_keep_to_their_strata_and_are_even() -> None:
    generator, strata = np.random.default_rng(0), np.array([1, 0, 1, 0, 1])
    found = np.array([permutation.permuted(generator, strata) for _ in range(6000)])
    assert (strata[found] == strata).all()
    orders, counts = np.unique(found, axis=0, return_counts=True)
    assert len(orders) == 12 and (np.abs(counts - 500) < 4 * math.sqrt(500 * 11 / 12)).all()


def test_p_values_by_hand() -> None:
    null = np.array([1.0, 2.0, 3.0, 4.0])
    assert permutation.p_value(3.0, null) == 3 / 5
    assert permutation.p_value(3.0, null, "less") == 4 / 5
    assert permutation.p_value(5.0, null, "two-sided") == 2 / 5
    assert math.isnan(permutation.p_value(math.nan, null))
    # the largest difference of two groups of 3 and 3 is one of 20 arrangements
    values, groups = np.arange(6.0), np.array([0, 0, 0, 1, 1, 1])
    others = permutation.permutations(np.zeros(6, dtype=int), 5, 0, groups)
    assert permutation.p_value(float(values @ groups), np.array([values @ groups[i] for i in others])) == 1 / 20


def test_drawn_permutations_have_their_size_and_find_what_is_planted() -> None:
    def p(effect: float, seed: int) -> float:
        values = np.random.default_rng(seed).standard_normal(24) + effect * (groups := np.tile([0.0, 1.0], 12))
        null = [float(values @ groups[index]) for index in permutation.permutations(strata, 79, seed)]
        return permutation.p_value(float(values @ groups), np.array(null))

    strata = np.repeat([0, 1], 12)
    null = [p(0.0, seed) for seed in range(150)]
    assert max(abs(share_below(null, level)) for level in (0.05, 0.2, 0.5)) < 4
    assert np.mean([p(1.5, seed) <= 0.05 for seed in range(60)]) > 0.8


def test_the_maximum_over_pairs_holds_the_family() -> None:
    generator = np.random.default_rng(0)
    pairs = generator.standard_normal((200, 100, 8, 8))
    tests = [permutation.maximum_test(drawn[0], drawn[1:]) for drawn in pairs]
    assert abs(share_below([test.smallest for test in tests], 0.05)) < 4
    alone = [permutation.p_value(float(drawn[0].max()), drawn[1:, 0, 0]) for drawn in pairs]
    assert np.mean(np.array(alone) <= 0.05) > 0.5  # without the maximum most families show something
    planted = pairs[0, 0].copy()
    planted[2, 5], planted[1, 1] = 6.0, np.nan
    null = pairs[0, 1:].copy()
    null[:, 1, 1] = np.nan
    test = permutation.maximum_test(planted, null)
    assert test.best == (2, 5) and test.smallest == 0.01 and np.isnan(test.p[1, 1]) and test.critical < 6


def test_the_critical_value_is_where_p_passes_alpha() -> None:
    null = np.random.default_rng(1).standard_normal(199)
    for alternative, sign in (("greater", 1), ("less", -1)):
        critical = permutation.smallest_detectable(null, 0.05, alternative).critical
        assert permutation.p_value(critical + sign * 1e-9, null, alternative) < 0.05
        assert permutation.p_value(critical - sign * 1e-9, null, alternative) >= 0.05
    found = permutation.smallest_detectable(np.random.default_rng(2).standard_normal(99_999))
    assert abs(found.power_80 - (1.6449 + 0.8416)) < 0.05
    assert permutation.smallest_detectable(null[:10]).critical == math.inf
