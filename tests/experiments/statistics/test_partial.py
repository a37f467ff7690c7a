"""Partial comparisons of heads within strata: exact values, size under the null, planted effects, refusals."""

import itertools
import math

import numpy as np

from experiments.statistics import partial
from tests.experiments.statistics.sizes import share_below


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


def test_a_coefficient_alone_is_the_one_that_is_tested() -> None:
    generator = np.random.default_rng(7)
    x, y, given = generator.standard_normal((3, 12))
    strata = np.repeat([0, 1], 6)
    tested = partial.partial_spearman(x, y, given[:, None], strata, draws=99)
    alone = partial.partial_spearman(x, y, given[:, None], strata, draws=0)
    assert alone.value == tested.value and alone.interval == tested.interval
    assert alone.p == 1 and len(alone.null) == 0 and len(tested.null) == 99
