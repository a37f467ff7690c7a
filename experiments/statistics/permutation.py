"""Permutation tests within strata, and their family-wise maximum.

A permutation is an index array: unit i takes the label (or effect, or residual) of unit index[i]. The null is that
labels are exchangeable within strata. p = (1 + number of others that reach the observed) / (1 + number of others): with
drawn permutations valid at any number of draws (Phipson and Smyth 2010), with all permutations but the identity the
exact share.
"""

import itertools
import math
from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int, Shaped
from scipy import stats

Alternative = Literal["greater", "less", "two-sided"]
LIMIT = 20_000  # fewer distinct permutations than this are enumerated


class MaximumTest(NamedTuple):
    """Many statistics against the maximum of all under the null."""

    p: Float[np.ndarray, "*pair"]  # corrected for all pairs (single step); NaN where the statistic is
    smallest: float  # the p of the family: that of its largest statistic
    best: tuple[int, ...]  # where the largest is
    critical: float  # the value that a pair must pass for p < 0.05


class Detectable(NamedTuple):
    """What a test could have found."""

    critical: float  # a statistic beyond this has p < alpha; infinite where no value can
    power_80: float  # a statistic expected to be this is beyond it in 80% of data sets, if it spreads as the null does


def permuted(generator: np.random.Generator, strata: Shaped[np.ndarray, " unit"]) -> Int[np.ndarray, " unit"]:
    """A random index array that moves units only within their stratum."""
    codes = np.unique(strata, return_inverse=True)[1]
    index = np.empty(len(codes), dtype=np.int64)
    index[np.argsort(codes, kind="stable")] = np.lexsort((generator.random(len(codes)), codes))
    return index


def distinct(strata: Shaped[np.ndarray, " unit"], like: Shaped[np.ndarray, " unit"] | None = None) -> float:
    """How many permutations within strata differ; exchanges of units with equal `like` do not count."""
    log = 0.0
    for stratum in np.unique(strata):
        inside = strata == stratum
        log += math.lgamma(inside.sum() + 1)
        if like is not None:
            log -= sum(math.lgamma(count + 1) for count in np.unique(like[inside], return_counts=True)[1])
    return float(np.round(np.exp(log))) if log < 30 else math.inf


def permutations(
    strata: Shaped[np.ndarray, " unit"], draws: int, seed: int, like: Shaped[np.ndarray, " unit"] | None = None
) -> Iterator[np.ndarray]:
    """Index arrays: every distinct one but the identity where fewer than `LIMIT` are, else `draws` random ones."""
    if distinct(strata, like) >= LIMIT:
        codes, generator = np.unique(strata, return_inverse=True)[1], np.random.default_rng(seed)
        for _ in range(draws):
            yield permuted(generator, codes)
        return
    same = np.arange(len(strata))
    members = [np.flatnonzero(strata == stratum) for stratum in np.unique(strata)]
    orders = [list(_orders(same[inside] if like is None else like[inside])) for inside in members]
    for combination in itertools.product(*orders):
        index = same.copy()
        for inside, order in zip(members, combination, strict=True):
            index[inside] = inside[order]
        if not np.array_equal(index, same):
            yield index


def _orders(like: np.ndarray) -> Iterator[np.ndarray]:
    """All distinct orders of some units: the places of each label, label by label."""
    index = np.empty(len(like), dtype=np.int64)

    def place(groups: list[np.ndarray], free: list[int]) -> Iterator[np.ndarray]:
        if not groups:
            yield index.copy()
            return
        for chosen in itertools.combinations(free, len(groups[0])):
            index[list(chosen)] = groups[0]
            taken = set(chosen)
            yield from place(groups[1:], [spot for spot in free if spot not in taken])

    yield from place([np.flatnonzero(like == label) for label in np.unique(like)], list(range(len(like))))


def p_value(observed: float, null_values: Float[np.ndarray, " draw"], alternative: Alternative = "greater") -> float:
    """The share of the null that is at least as extreme, the observed value counted with it.

    Two-sided: twice the smaller one-sided p (the null need not be symmetric). NaN where any value is.
    """
    if math.isnan(observed) or np.isnan(null_values).any():
        return math.nan
    slack = 1e-12 * max(1.0, abs(observed))  # equal up to the order of a sum is equal
    above = (1 + int((null_values >= observed - slack).sum())) / (1 + len(null_values))
    below = (1 + int((null_values <= observed + slack).sum())) / (1 + len(null_values))
    return {"greater": above, "less": below, "two-sided": min(1.0, 2 * min(above, below))}[alternative]


def maximum_test(observed: Float[np.ndarray, "*pair"], null: Float[np.ndarray, "draw *pair"]) -> MaximumTest:
    """Tests which of many statistics are larger than the largest of all is by chance (Westfall and Young 1993).

    A single-step test. The maximum is of the values as they are: where their spreads under the null differ, give
    standardised ones. NaN marks pairs that cannot be; they must be NaN in both, and not all, else ValueError.
    """
    if not np.array_equal(np.isnan(null).any(0), np.isnan(observed)) or np.isnan(observed).all():
        raise ValueError("NaN marks pairs that cannot be: the same ones in what was observed and in the null, not all")
    largest = np.nanmax(null.reshape(len(null), -1), axis=1)
    p = np.array([p_value(float(value), largest) for value in observed.ravel()]).reshape(observed.shape)
    best = tuple(int(place) for place in np.unravel_index(np.nanargmax(observed), observed.shape))
    return MaximumTest(p, float(p[best]), best, smallest_detectable(largest).critical)


def smallest_detectable(
    null_values: Float[np.ndarray, " draw"], alpha: float = 0.05, alternative: Alternative = "greater"
) -> Detectable:
    """The statistic's value beyond which p < alpha, and the effect that passes it with a probability of 80%.

    "less": the values below which. "two-sided": the upper of the two. In the statistic's own units.
    """
    if alternative == "less":
        mirrored = smallest_detectable(-null_values, alpha)
        return Detectable(-mirrored.critical, -mirrored.power_80)
    share = alpha / 2 if alternative == "two-sided" else alpha
    allowed = math.ceil(share * (1 + len(null_values)) - 1 - 1e-9) - 1  # how many of the null may reach a found value
    if allowed < 0:
        return Detectable(math.inf, math.inf)
    critical = float(np.sort(null_values)[::-1][allowed])
    return Detectable(critical, critical + float(stats.norm.ppf(0.8) * null_values.std()))
