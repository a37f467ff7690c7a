"""Verdicts, permutation tests, partial comparisons, predictions: exact values, size under the null, planted effects."""

import itertools
import json
import math

import numpy as np
import pytest

from experiments.claims.verdict import Claim, Control, Finding, opposite, plain, verdict
from experiments.statistics import partial, permutation


def share_below(p: list[float], level: float) -> float:
    """z of the share of p at or below a level, against the level."""
    return (np.mean(np.array(p) <= level) - level) / math.sqrt(level * (1 - level) / len(p))


@pytest.mark.parametrize(
    ("testable", "met", "against", "fired", "word"),
    [
        (False, True, False, False, "not testable"),
        (True, True, False, False, "replicated"),
        (True, True, False, True, "inconclusive"),
        (True, False, True, True, "inconclusive"),
        (True, False, True, False, "contradicted"),
        (True, False, False, False, "inconclusive"),
    ],
)
def test_one_word_follows_from_the_rules(testable: bool, met: bool, against: bool, fired: bool, word: str) -> None:
    assert verdict(testable=testable, met=met, opposite=against, control_fired=fired) == word


def test_a_statistic_cannot_meet_and_contradict_its_claim() -> None:
    with pytest.raises(ValueError, match="at once"):
        verdict(testable=True, met=True, opposite=True, control_fired=False)
    assert opposite((-2.0, -1.0), 0.0) and opposite((1.0, 2.0), 0.0, "below")
    assert not opposite((-2.0, 1.0), 0.0) and not opposite((1.0, 2.0), 0.0) and not opposite((math.nan, -1.0), 0.0)


def test_a_finding_is_plain_json() -> None:
    control = Control("shuffled types", math.nan, 0.4, False)
    details = {"each": np.array([1.0, np.nan]), "n": np.int64(3), 2: (True, None)}
    finding = Finding(
        Claim(2, "differentiation", "s", "p", "c", "clustering"), "summed index", 1.5, (0.5, math.inf), 0.0, 0.004,
        "16 heads", "0.3", (control,), {"balanced gauge": "no"}, details, "", "replicated",
    )  # fmt: skip
    record = json.loads(json.dumps(finding.record(), allow_nan=False))
    assert (record["number"], record["figure"], record["verdict"]) == (2, "clustering", "replicated")
    assert record["interval"] == [0.5, None] and record["controls"][0]["value"] is None
    assert record["details"] == {"each": [1.0, None], "n": 3, "2": [True, None]}
    with pytest.raises(TypeError, match="set"):
        plain({1, 2})


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
    test = permutation.permutation_test(lambda i: float(values @ groups[i]), np.zeros(6, dtype=int), like=groups)
    assert test.exact and test.p == 1 / 20


def test_drawn_permutations_have_their_size_and_find_what_is_planted() -> None:
    def p(effect: float, seed: int) -> float:
        values = np.random.default_rng(seed).standard_normal(24) + effect * (groups := np.tile([0.0, 1.0], 12))
        return permutation.permutation_test(lambda i: float(values @ groups[i]), strata, draws=79, seed=seed).p

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


@pytest.mark.parametrize("clusters", [3, 12])
def test_the_bootstrap_covers_with_few_clusters(clusters: int) -> None:
    home, outside, naive = np.repeat(np.arange(clusters), 3), [], []
    for seed in range(200):
        values = np.random.default_rng(seed).standard_normal(clusters)[home]
        low, high = permutation.cluster_bootstrap(lambda i, v=values: float(v[i].mean()), home, draws=60, seed=seed)
        outside.append(float(not low <= 0 <= high))
        naive.append(float(abs(values.mean()) > 1.96 * values.std(ddof=1) / math.sqrt(len(values))))
    assert np.mean(outside) < 0.05 + 4 * math.sqrt(0.05 * 0.95 / 200)
    assert np.mean(naive) > 0.2  # units taken as independent


def heads(seed: int, effect: float, strata: int = 6, size: int = 5) -> tuple[np.ndarray, ...]:
    """x and y that share covariates and strata, and an effect of x on y beyond them."""
    generator, home = np.random.default_rng(seed), np.repeat(np.arange(strata), size)
    covariates, level = generator.standard_normal((len(home), 2)), 5 * generator.standard_normal(strata)[home]
    x = covariates @ [1.0, 0.5] + level + generator.standard_normal(len(home))
    y = covariates @ [2.0, 0.5] + level + generator.standard_normal(len(home)) + effect * x
    return x, y, covariates, home


def test_partial_spearman_is_spearman_without_covariates_and_strata() -> None:
    x, y = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), np.array([2.0, 1.0, 4.0, 3.0, 6.0, 5.0])
    found = partial.partial_spearman(x, y, np.empty((6, 0)), np.zeros(6))
    ranks = [np.corrcoef(x, y[list(order)])[0, 1] for order in itertools.permutations(range(6))]
    assert abs(found.value - (1 - 6 * 6 / (6 * 35))) < 1e-12
    assert found.p == np.mean(np.array(ranks) >= found.value - 1e-9)
    # a monotone change of what is compared changes nothing; levels of strata do not count
    assert partial.partial_spearman(np.exp(x), y**3, np.empty((6, 0)), np.zeros(6)).value == found.value
    strata = np.array([0, 0, 0, 1, 1, 1])
    level = partial.partial_spearman(x, y, np.empty((6, 0)), strata)
    assert partial.partial_spearman(x + 100 * strata, y - 50 * strata, np.empty((6, 0)), strata).value == level.value


def test_partial_spearman_has_its_size_and_finds_what_is_planted() -> None:
    null = [partial.partial_spearman(*heads(seed, 0.0), draws=79) for seed in range(120)]
    assert max(abs(share_below([one.p for one in null], level)) for level in (0.05, 0.2, 0.5)) < 4
    outside = np.mean([not one.interval[0] <= 0 <= one.interval[1] for one in null])
    assert outside < 0.05 + 4 * math.sqrt(0.05 * 0.95 / 120)
    assert np.mean([partial.partial_spearman(*heads(seed, 1.0), draws=99).p <= 0.05 for seed in range(60)]) > 0.6
    x, y, covariates, home = heads(0, 0.0)
    assert partial.partial_spearman(x, y, covariates[:, :0], home, draws=199).p < 0.05  # by the covariates alone


def test_partial_comparisons_refuse_what_cannot_be_made() -> None:
    x, y, covariates, home = heads(0, 1.0, strata=5, size=3)
    refused = partial.partial_spearman(x, y, covariates, home)
    assert math.isnan(refused.value) and refused.left_out == 15 and "too few" in refused.reason
    assert partial.partial_spearman(x, y, covariates, home, smallest=2, draws=99).units == 15
    explained = partial.partial_spearman(x, y, x[:, None], home)
    assert "does not vary" in explained.reason
    assert "finite" in partial.partial_spearman(np.append(x[:-1], np.nan), y, covariates, home).reason
    alone = partial.adjusted_difference(y, home == 0, covariates, home, smallest=2)
    assert math.isnan(alone.value) and alone.left_out == 15


def groups(seed: int, difference: float, size: int = 6) -> tuple[np.ndarray, ...]:
    """Two heads of one kind in each of three strata, whose covariate is higher too."""
    generator, home = np.random.default_rng(seed), np.repeat(np.arange(3), size)
    group = np.tile(np.arange(size) < 2, 3)
    covariates = generator.standard_normal((len(home), 2)) + 1.5 * group[:, None]
    y = covariates @ [1.0, 0.5] + 4.0 * home + difference * group + generator.standard_normal(len(home))
    return y, group, covariates, home


def test_adjusted_difference_has_its_size_and_finds_what_is_planted() -> None:
    y, group, covariates, home = groups(0, -1.0)
    found = partial.adjusted_difference(y, group, covariates, home, draws=99)
    design = np.column_stack([group, covariates, home[:, None] == np.arange(3)]).astype(float)
    assert abs(found.value - np.linalg.lstsq(design, y)[0][0]) < 1e-10
    null = [partial.adjusted_difference(*groups(seed, 0.0), draws=79) for seed in range(120)]
    assert max(abs(share_below([one.p for one in null], level)) for level in (0.05, 0.2, 0.5)) < 4
    planted = [partial.adjusted_difference(*groups(seed, -3.0), draws=79) for seed in range(60)]
    assert np.mean([one.p <= 0.05 for one in planted]) > 0.8
    assert np.mean([one.interval[0] <= -3 <= one.interval[1] for one in planted]) > 0.95 - 4 * 0.028
    unadjusted = [partial.adjusted_difference(y, g, c[:, :0], h, alternative="greater", draws=99).p
                  for y, g, c, h in (groups(seed, 0.0) for seed in range(30))]  # fmt: skip
    assert np.mean(np.array(unadjusted) <= 0.05) > 0.5  # the covariates alone make a difference


def test_types_are_predicted_from_other_seeds_in_the_same_layer() -> None:
    seeds, layers = np.repeat(np.arange(3), 8), np.tile(np.repeat([0, 1], 4), 3)
    types = np.array([["a", "a", "b", "b", "b", "b", "a", "a"]] * 3).ravel()
    generator = np.random.default_rng(0)
    # in layer 1 the values of the types are exchanged: only within a layer do they tell
    told = ((types == "a") ^ (layers == 1)).astype(float)[:, None] + 0.05 * generator.standard_normal((24, 3))
    types[-1] = "c"  # no other seed has one
    away = told.copy()
    away[-1] = 9.0
    right, possible = partial.predicted(away, types, layers, seeds)
    assert right[:-1].all() and possible[:-1].all() and not possible[-1]
    assert partial.predicted(away, types, layers * 0, seeds)[0].mean() < 0.8
    noise = [generator.standard_normal((24, 3)) for _ in range(2)]
    better = partial.accuracy_difference(away, noise, types, layers, seeds, draws=300)
    assert better.first == 1.0 and better.chance == 0.5 and better.units == 23 and better.interval[0] > 0
    same = partial.accuracy_difference(noise[0], [noise[1], away], types, layers, seeds, draws=300)
    assert same.interval[1] < 0 and same.value < 0
    shuffled = [generator.permutation(types) for _ in range(40)]
    found = [partial.accuracy_difference(told, noise, kinds, layers, seeds, draws=100) for kinds in shuffled]
    assert np.mean([one.interval[0] > 0 for one in found]) < 0.05 + 4 * math.sqrt(0.05 * 0.95 / 40)
