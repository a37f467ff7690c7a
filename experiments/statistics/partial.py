"""Comparisons of heads within strata (layer and seed) that do not come from covariates.

Strata have intercepts of their own and share the covariates' slopes: with a handful of heads in a stratum, slopes of
its own would use up what is to be compared, while a common slope needs them only once. Permutations are of residuals
given strata and covariates, within strata (Freedman and Lane 1983): the covariates stay with their heads.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Shaped
from scipy import stats

from experiments.statistics.intervals import TWO_SIDED
from experiments.statistics.permutation import Alternative, p_value, permutations


class Partial(NamedTuple):
    """An adjusted comparison; NaN with a reason where it cannot be made."""

    value: float
    p: float
    interval: tuple[float, float]  # 95%
    null: Float[np.ndarray, " draw"]  # the tested statistic under permutation (a correlation, or a t)
    units: int  # that were used
    left_out: int  # units of strata too small to use
    reason: str = ""


def partial_spearman(
    x: Float[np.ndarray, " unit"],
    y: Float[np.ndarray, " unit"],
    covariates: Float[np.ndarray, "unit covariate"],
    strata: Shaped[np.ndarray, " unit"],
    *,
    alternative: Alternative = "greater",
    smallest: int | None = None,
    draws: int = 9999,
    seed: int = 0,
) -> Partial:
    """Rank correlation, within strata, of what covariates leave of x and of y.

    x and y (centred within strata) are regressed on the covariates, the residuals ranked over all units, and the ranks
    centred within strata and correlated: Spearman's coefficient of residuals (Liu et al. 2018), with no covariates that
    of aligned observations (Hodges and Lehmann 1962). Not ranks first: within strata of five, ranks of covariates are
    so coarse that much of what x and y share through them is left. Covariates act linearly: take logarithms where they
    should. p: residuals of x permuted within strata. Interval: Fisher's z with variance (1 + rho^2 / 2) / (f - 2),
    f = units - strata - covariates (Bonett and Wright 2000): a bootstrap of strata of three to five often leaves
    nothing to compare. Strata with fewer units than `smallest` (default: covariates + 2, below which a stratum alone
    would fit them exactly) are left out. NaN where f is below 3. Without draws (0) no p is asked for, and it is 1.
    """
    if not _finite(x, y, covariates):
        return _refused("a value is not finite", len(x))
    kept = _large(strata, covariates.shape[1] + 2 if smallest is None else smallest)
    left_out = int((~kept).sum())
    x, y, covariates, strata = x[kept], y[kept], covariates[kept], strata[kept]
    free = len(x) - len(np.unique(strata)) - covariates.shape[1]
    if free < 3:
        return _refused("too few units are left for the covariates: pool more seeds", left_out)
    table = _centred(np.column_stack([x, y, covariates]), strata)
    remove = _remover(table[:, 2:])
    left = remove @ table[:, :2]
    if (left.std(0) <= 1e-9 * table[:, :2].std(0)).any() or not table[:, :2].std(0).all():
        return _refused("x or y does not vary beyond the covariates within strata", left_out)
    ranks_x, ranks_y = _centred_ranks(left.T, strata)
    value = float(_correlations(ranks_x[None], ranks_y)[0])
    # a permutation that the covariates explain wholly correlates with nothing
    null = np.nan_to_num(
        _correlations(_centred_ranks(left[:, 0][_orders(strata, draws, seed)] @ remove, strata), ranks_y)
    )
    z, reach = math.atanh(np.clip(value, -1 + 1e-12, 1 - 1e-12)), TWO_SIDED * math.sqrt((1 + value**2 / 2) / (free - 2))
    interval = (math.tanh(z - reach), math.tanh(z + reach))
    return Partial(value, p_value(value, null, alternative), interval, null, len(x), left_out)


def adjusted_difference(
    y: Float[np.ndarray, " unit"],
    group: Bool[np.ndarray, " unit"],
    covariates: Float[np.ndarray, "unit covariate"],
    strata: Shaped[np.ndarray, " unit"],
    *,
    alternative: Alternative = "less",
    smallest: int | None = None,
    draws: int = 9999,
    seed: int = 0,
) -> Partial:
    """Mean of y in the group minus outside it, within strata, given covariates; in units of y.

    The coefficient of the group in a regression of y on strata, covariates and group. p: its t under permutation of y's
    residuals without the group. Interval: Student's t of that regression, which takes errors as normal and alike.
    Strata that do not have both kinds, or have fewer units than `smallest` (default: covariates + 2), are left out.
    """
    if not _finite(y, covariates):
        return _refused("a value is not finite", len(y))
    mixed = np.array([len(np.unique(group[strata == stratum])) == 2 for stratum in strata], dtype=bool)
    kept = mixed & _large(strata, covariates.shape[1] + 2 if smallest is None else smallest)
    left_out = int((~kept).sum())
    y, covariates, strata = y[kept], covariates[kept], strata[kept]
    free = len(y) - len(np.unique(strata)) - covariates.shape[1] - 1
    if len(y) == 0 or free < 2:
        return _refused("too few units in strata with both kinds: pool more seeds", left_out)
    table = _centred(np.column_stack([y, group[kept].astype(float), covariates]), strata)
    remove = _remover(table[:, 2:])
    rest, kind = remove @ table[:, 0], remove @ table[:, 1]
    r = float(_correlations(rest[None], kind)[0])
    if math.isnan(r):
        return _refused("the covariates alone tell the group, or y: the difference is not defined", left_out)
    value = float(rest @ kind / (kind @ kind))
    error = math.sqrt(max(0.0, float(rest @ rest - value * (rest @ kind))) / free / float(kind @ kind))
    reach = float(stats.t.ppf(0.975, free)) * error
    moved = np.nan_to_num(_correlations(rest[_orders(strata, draws, seed)] @ remove, kind))
    # t rises with r, so that both order the permutations alike; where r is 1, t is infinite
    null = moved * np.sqrt(free / np.maximum(1 - moved**2, 1e-12))
    p = p_value(r * math.sqrt(free / max(1 - r**2, 1e-12)), null, alternative)
    return Partial(value, p, (value - reach, value + reach), null, len(y), left_out)


def _finite(*arrays: np.ndarray) -> bool:
    return all(bool(np.isfinite(array).all()) for array in arrays)


def _refused(reason: str, left_out: int) -> Partial:
    return Partial(math.nan, math.nan, (math.nan, math.nan), np.empty(0), 0, left_out, reason)


def _large(strata: np.ndarray, smallest: int) -> np.ndarray:
    """Units whose stratum has at least so many; one unit alone compares with nothing."""
    _, home, sizes = np.unique(strata, return_inverse=True, return_counts=True)
    return sizes[home] >= max(2, smallest)


def _centred(table: np.ndarray, strata: np.ndarray) -> np.ndarray:
    out = table.astype(float)
    for stratum in np.unique(strata):
        out[strata == stratum] -= out[strata == stratum].mean(0)
    return out


def _centred_ranks(rows: np.ndarray, strata: np.ndarray) -> np.ndarray:
    """Ranks of each row over all units, equal up to rounding is equal, minus their mean within each stratum."""
    if rows.size == 0:
        return rows
    ranks = stats.rankdata(np.round(rows / np.abs(rows).max(1, keepdims=True), 9), axis=1)
    return _centred(ranks.T, strata).T


def _remover(covariates: np.ndarray) -> np.ndarray:
    """The matrix that takes from a vector what covariates (centred within strata) predict of it."""
    return np.eye(len(covariates)) - covariates @ np.linalg.pinv(covariates, rcond=1e-9)


def _correlations(rows: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Cosines of centred vectors with another; NaN where either is zero up to rounding."""
    size = np.sqrt((rows**2).sum(1) * float(other @ other))
    return np.divide(rows @ other, size, out=np.full(len(rows), np.nan), where=size > 1e-9)


def _orders(strata: np.ndarray, draws: int, seed: int) -> np.ndarray:
    orders = list(permutations(strata, draws, seed)) if draws else []
    return np.stack(orders) if orders else np.empty((0, len(strata)), dtype=np.int64)
