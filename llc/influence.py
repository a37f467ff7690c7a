"""Bayesian influence: how the losses of texts move together in the posterior.

    kernel_ij = Cov(l_i, l_j)        influence_ij = -Cov(l_i, l_j)        correlation_ij = Pearson's

l_i is the mean loss of row i of the probes. The expected loss of row j changes by (n beta / n) influence_ij when the
weight of row i in the data of n rows grows by 1. On a quadratic it is the classical influence function as n beta grows
and localization / (n beta) vanishes, and only then. (arXiv:2509.26544; loss kernel: arXiv:2509.26537.)
"""

import numpy as np
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from llc import covariances
from llc.covariances import Means, of_probes


def loss_kernel(trace: xr.Dataset) -> xr.Dataset:
    """Cov(l_i, l_j) of all pairs of rows [probe_row, other_row] in nats^2: value, se and half_width.

    trace: of `llc.sample(..., probes=...)` or `sample_function(..., each=...)`, of three chains or more.
    """
    return covariances.covariance(_rows(trace))


def bayesian_influence(trace: xr.Dataset) -> xr.Dataset:
    """-Cov(l_i, l_j) of all pairs of rows, as `loss_kernel`; negative: more of one makes the other's loss smaller."""
    kernel = loss_kernel(trace)
    return kernel.assign(value=-kernel.value)


def posterior_correlation(trace: xr.Dataset) -> xr.Dataset:
    """Pearson's correlation of the losses of all pairs of rows: value, se and half_width; NaN for a row that does not
    move.
    """
    value, without = covariances.jackknifed(_rows(trace))
    return covariances.with_errors(_correlation(value), _correlation(without))


def influence_on(trace: xr.Dataset, weights: Float[Tensor, " probe_row"]) -> xr.Dataset:
    """-Cov(l_i, f) of every row with f = sum_j weights_j l_j, in nats^2: value, se and half_width [probe_row].

    weights: of the probes' rows in f, of any sign, as in a gain (the loss of some rows less that of others). Positive:
    more of row i makes f larger.
    """
    value, without = covariances.jackknifed(_rows(trace))
    weight = _weights(trace, weights)
    return covariances.with_errors(-(value @ weight), -(without @ weight))


def correlation_with(trace: xr.Dataset, weights: Float[Tensor, " probe_row"]) -> xr.Dataset:
    """Pearson's correlation of every row's loss with the same f: value, se and half_width [probe_row]."""
    weight = _weights(trace, weights)

    def correlated(kernel: xr.DataArray) -> xr.DataArray:
        kernel = kernel.transpose(..., "probe_row", "other_row")
        own = kernel[..., 0].copy(data=np.diagonal(kernel.values, axis1=-2, axis2=-1))
        with_f = kernel @ weight
        of_f = with_f.rename(probe_row="other_row") @ weight
        return with_f / (own * of_f) ** 0.5

    with np.errstate(invalid="ignore", divide="ignore"):
        return covariances.with_errors(*map(correlated, covariances.jackknifed(_rows(trace))))


def _weights(trace: xr.Dataset, weights: Tensor) -> xr.DataArray:
    if list(weights.shape) != [trace.sizes["probe_row"]]:
        raise ValueError(
            f"weights {list(weights.shape)}: give one for each row of the probes, {trace.sizes['probe_row']}"
        )
    return xr.DataArray(weights.double().numpy(), dims="other_row")


def _correlation(kernel: xr.DataArray) -> xr.DataArray:
    """Covariances over the roots of the variances, which stand on the diagonal of the last two dims."""
    kernel = kernel.transpose(..., "probe_row", "other_row")
    variance = np.diagonal(kernel.values, axis1=-2, axis2=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return kernel / np.sqrt(variance[..., :, None] * variance[..., None, :])


def _rows(trace: xr.Dataset) -> Means:
    """Means of rows' losses and of their products."""
    if "row_product" not in of_probes(trace):
        raise ValueError("the probes have too many rows for covariances of all pairs: give fewer")
    row = trace.probe_rise.mean("predicted", skipna=False)
    return Means(row, row.rename(probe_row="other_row"), trace.row_product)
