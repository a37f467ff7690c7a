"""Posterior covariances from the moments of chains (probes.py), with errors over chains.

A covariance is estimated by

    (1 / m) sum_c mean_c(x y)  -  (1 / (m (m - 1))) sum_{c != c'} mean_c(x) mean_c'(y)

over m chains, with means over the draws of a chain: products of means of different chains alone, so that it is unbiased
however much the draws of a chain depend on each other. Its standard error is that of the jackknife over chains, and
rests on m - 1 degrees of freedom.
"""

from typing import NamedTuple

import numpy as np
import xarray as xr

from llc import intervals

LEAST_CHAINS = 3


class Means(NamedTuple):
    """Means over the draws of each chain: of two observables, and of their product."""

    x: xr.DataArray  # [chain, ...]
    y: xr.DataArray
    product: xr.DataArray


def covariance(means: Means) -> xr.Dataset:
    """Cov(x, y) as value, se and half_width, half the width of its 95% interval; chains that diverged make it NaN.

    Raises ValueError for fewer chains than its error needs, three.
    """
    return with_errors(*jackknifed(means))


def jackknifed(means: Means) -> tuple[xr.DataArray, xr.DataArray]:
    """The covariance, and what it is without each chain [chain, ...]."""
    m = checked(means.x)
    others_x, others_y = ((total.sum("chain", skipna=False) - total) / (m - 1) for total in (means.x, means.y))
    # each chain's mean over its pairs with the others
    others = (means.product.sum("chain", skipna=False) - means.product) / (m - 1)
    paired = (means.product + others - means.x * others_y - others_x * means.y) / 2
    value = paired.mean("chain", skipna=False)
    return value, (m * value - 2 * paired) / (m - 2)


def with_errors(value: xr.DataArray, without: xr.DataArray) -> xr.Dataset:
    """value with se and half_width by the jackknife. without: what it is without each chain [chain, ...]."""
    m = without.sizes["chain"]
    spread = ((without - without.mean("chain", skipna=False)) ** 2).sum("chain", skipna=False)
    se = np.sqrt((m - 1) / m * spread)
    return xr.Dataset({"value": value, "se": se, "half_width": intervals.half_width(se, m - 1.0)})


def mean(per_chain: xr.DataArray) -> xr.Dataset:
    """The mean over chains of [chain, ...] as value, se and half_width."""
    m = checked(per_chain)
    value, se = per_chain.mean("chain", skipna=False), per_chain.std("chain", ddof=1, skipna=False) / np.sqrt(m)
    return xr.Dataset({"value": value, "se": se, "half_width": intervals.half_width(se, m - 1.0)})


def split_half(means: Means) -> float:
    """The correlation, over all entries, of a covariance from one half of the chains with that from the other.

    Raises ValueError for fewer than six chains, three for each half.
    """
    m = means.x.sizes["chain"]
    if m < 2 * LEAST_CHAINS:
        raise ValueError(f"{m} chains: split halves need {2 * LEAST_CHAINS} or more; raise num_chains")
    halves = (slice(0, m // 2), slice(m // 2, None))
    first, second = (jackknifed(Means(*(part.isel(chain=half) for part in means)))[0] for half in halves)
    return float(np.corrcoef(first.values.ravel(), second.values.ravel())[0, 1])


def checked(per_chain: xr.DataArray) -> int:
    """The number of chains; raises ValueError where there are too few."""
    m = per_chain.sizes["chain"]
    if m < LEAST_CHAINS:
        raise ValueError(f"{m} chains: errors over chains need {LEAST_CHAINS} or more; raise num_chains")
    return m


def of_probes(trace: xr.Dataset) -> xr.Dataset:
    """The trace, if it followed probes; raises ValueError otherwise."""
    if "probe_rise" not in trace:
        raise ValueError("the trace followed no probes: sample with probes=Probes(tokens), or each= for a function")
    return trace
