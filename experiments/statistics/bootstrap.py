"""95% intervals by drawing whole clusters of units with replacement."""

import math
from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Shaped
from scipy import stats

FEW = 6  # below so many clusters the range of their values covers less than 95%: 1 - 2^(1 - 5) = 94%


def cluster_bootstrap(
    statistic: Callable[[np.ndarray], float],
    clusters: Shaped[np.ndarray, " unit"],
    *,
    strata: Shaped[np.ndarray, " unit"] | None = None,
    draws: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """95% interval of a statistic when whole clusters are drawn with replacement (within strata of clusters).

    Percentiles, moved outwards for n clusters in s strata to those of Student's t with n - s degrees of freedom and the
    unbiased variance ("expanded percentiles", Hesterberg 2015). With fewer than 6 no percentile reaches 95%: then the
    estimate plus and minus t times the bootstrap's standard error. NaN where over a tenth of the draws have no value.
    """
    names, home = np.unique(clusters, return_inverse=True)
    groups = np.zeros(len(home), dtype=np.int64) if strata is None else np.unique(strata, return_inverse=True)[1]
    members = [np.flatnonzero(home == cluster) for cluster in range(len(names))]
    if any(np.ptp(groups[inside]) for inside in members):
        raise ValueError("a cluster lies in two strata: make clusters the smaller of the two")
    group = np.array([groups[inside[0]] for inside in members])
    values = np.array([statistic(index) for index in _resampled(members, group, draws, seed)], dtype=float)
    kept = values[~np.isnan(values)]
    free = len(names) - len(np.unique(group))
    if free < 1 or len(kept) < 0.9 * draws:
        return math.nan, math.nan
    reach = float(stats.t.ppf(0.975, free)) * math.sqrt(len(names) / free)
    if len(names) < FEW:
        estimate, spread = float(statistic(np.arange(len(home)))), reach * float(kept.std(ddof=1))
        return estimate - spread, estimate + spread
    low, high = np.quantile(kept, stats.norm.cdf([-reach, reach]))
    return float(low), float(high)


def _resampled(members: list[np.ndarray], group: np.ndarray, draws: int, seed: int) -> Iterator[np.ndarray]:
    """Units of as many clusters as there are, drawn with replacement from each group of clusters."""
    generator, pools = np.random.default_rng(seed), [np.flatnonzero(group == stratum) for stratum in np.unique(group)]
    for _ in range(draws):
        chosen = np.concatenate([generator.choice(pool, len(pool)) for pool in pools])
        yield np.concatenate([members[cluster] for cluster in chosen])
