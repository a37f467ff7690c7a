"""What the posterior of a model of n independent samples says of its generalisation: singular fluctuation, WAIC, WBIC.

    nu = (n beta / 2) (1 / n) sum_i Var(l_i)        WAIC = -(1 / n) sum_i log E exp(-l_i) + (2 / n) nu
    WBIC = n E[L] at beta = 1 / log n

They are these numbers for the posterior of the model itself, so without localization (or one that does not matter),
with losses that are minus log likelihoods of independent samples. (Watanabe, JMLR 11 (2010) and 14 (2013).)
"""

import math

import numpy as np
import xarray as xr

from llc import covariances
from llc.covariances import Means, of_probes
from llc.settings import from_json


def singular_fluctuation(trace: xr.Dataset) -> xr.Dataset:
    """nu, with the samples that the trace followed (`sample_function(..., each=...)`; of text, each row's mean loss):
    value, se and half_width. d / 2 in a regular model that can be the truth, as n grows.
    """
    rows = of_probes(trace).probe_rise.mean("predicted", skipna=False)
    if trace.sizes["predicted"] == 1:
        square = trace.probe_square.isel(predicted=0)
    else:
        square = xr.DataArray(np.diagonal(trace.row_product.values, axis1=-2, axis2=-1), dims=rows.dims)
    value, without = covariances.jackknifed(Means(rows, rows, square))
    half_nbeta = from_json(trace.attrs["settings"]).nbeta / 2
    return covariances.with_errors(*(half_nbeta * part.mean("probe_row") for part in (value, without)))


def waic(trace: xr.Dataset) -> xr.Dataset:
    """WAIC in nats a sample, of the n samples that the trace followed: value, se and half_width."""
    if of_probes(trace).sizes["predicted"] != 1:
        raise ValueError("WAIC needs the likelihood of each sample: follow them by sample_function(..., each=...)")
    n, m = trace.sizes["probe_row"], covariances.checked(trace.phi)
    exponential = trace.probe_exponential.isel(predicted=0)
    others = (exponential.sum("chain", skipna=False) - exponential) / (m - 1)
    center = trace.probe_center.isel(predicted=0)
    fits = [(center - np.log(each)).mean("probe_row") for each in (exponential.mean("chain", skipna=False), others)]
    rows = trace.probe_rise.isel(predicted=0)
    variances = covariances.jackknifed(Means(rows, rows, trace.probe_square.isel(predicted=0)))
    beta = from_json(trace.attrs["settings"]).nbeta / n
    both = (fit + beta * variance.mean("probe_row") for fit, variance in zip(fits, variances, strict=True))
    return covariances.with_errors(*both)


def wbic(trace: xr.Dataset) -> xr.Dataset:
    """WBIC in nats, of the n samples that the trace followed: value, se and half_width.

    Raises ValueError where the trace was not sampled at nbeta = n / log n.
    """
    n, nbeta = of_probes(trace).probe_rise[0].size, from_json(trace.attrs["settings"]).nbeta
    if n < 2 or not math.isclose(nbeta, n / math.log(n), rel_tol=1e-6):
        raise ValueError(f"nbeta={nbeta} with {n} samples: WBIC is sampled at n / log n (`settings.natural_nbeta`)")
    return covariances.mean(n * (trace.probe_center.mean() + trace.probe_rise.mean(("probe_row", "predicted"))))
