"""95% intervals of learning coefficients: what a standard error from few dependent draws is worth.

A standard error that itself comes from few effective draws varies several-fold between seeds, so value +- 1.96 se holds
the truth too seldom. The interval is value +- t * error, from what a record of `learning_coefficient` holds:

    error      the larger of two estimates of one thing: `se`, from the chain-averaged series, which counts what chains
               share (their minibatches), and the root of the mean of chain_se^2 over the number of chains, which does
               not, but rests on that many times the draws
    t          the 97.5% quantile of Student's t with `degrees`, the larger of
                 kept draws / tau  what the sampler's own law leaves: tau = (1 + k^2) / (1 - k^2), k = 1 - lr *
                                   localization / 2, is the autocorrelation time (in draws) of the square of a
                                   coordinate that the localization alone moves, and curvature only shortens it
                 ess / chains / 8  what the draws show: a degree of freedom for every eight effective draws a chain
               and at least 1

The quantile for a spectral variance estimate with few degrees of freedom is that of Geyer, Statistical Science 7
(1992), section 3; tau is that of an autoregression of order one. That the larger error is taken, and the eight, were
chosen on quadratics with and without minibatch noise; benchmarks/coverage.py measures how often the intervals hold the
truth, there and on trained heads. With one chain alone there is no second error, and less coverage (92 to 94%).
"""

from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float
from scipy import special

from llc.settings import Settings, from_json
from llc.trace import CHECK_EVERY

BOUNDS = ("low", "high")
Numbers = float | int | np.ndarray | xr.DataArray
DRAWS_PER_DEGREE = 8.0  # effective draws of a chain for each degree of freedom of its standard error


def half_width(se: Numbers, degrees: Numbers) -> Any:
    """Half the width of the 95% interval of an estimate whose standard error has this many degrees of freedom.

    Numbers or arrays that broadcast, by dims where they are arrays of xarray; the unit is that of se. Raises ValueError
    for degrees of freedom that are not positive; NaN where se is.
    """
    if not np.all(np.asarray(degrees) > 0):
        raise ValueError(f"degrees={degrees}: a standard error needs a positive number of them")
    return se * xr.apply_ufunc(special.stdtrit, degrees, 0.975)


def degrees(ess: Numbers, chains: Numbers, settings: Settings) -> Any:
    """Degrees of freedom of an estimate's standard error, at least 1.

    ess: effective draws of all chains together; NaN counts for nothing. chains: how many they are.
    """
    return xr.apply_ufunc(np.fmax, ess / chains / DRAWS_PER_DEGREE, max(1.0, _slowest(settings)))


def combined(se: Numbers, chain_se: Float[np.ndarray, "*rest chain"]) -> Any:
    """The larger of an estimate's standard error and what its chains' own say; chains that diverged (NaN) are not
    counted.
    """
    chains = np.isfinite(chain_se).sum(-1)
    return np.maximum(se, np.sqrt(np.nansum(chain_se**2, -1)) / np.maximum(chains, 1))


def half_widths(table: xr.Dataset) -> xr.DataArray:
    """Half the width of the 95% interval of `value`, for a record of `learning_coefficient` or a table of such records.

    It has the dims of `value`, and is computed from se, chain_se, ess and the settings in the attributes, so tables
    that were stored without intervals have them too.
    """
    error = xr.apply_ufunc(combined, table.se, table.chain_se, input_core_dims=[[], ["chain"]])
    return half_width(error, degrees_of(table)).rename("half_width")


def degrees_of(table: xr.Dataset) -> xr.DataArray:
    """Degrees of freedom of the standard errors of a record or table, with the dims of `value`."""
    chains = np.isfinite(table.chain_se).sum("chain").clip(min=1)
    return degrees(table.ess, chains, from_json(table.attrs["settings"]))


def with_half_widths(table: xr.Dataset) -> xr.Dataset:
    """The record or table with `half_widths` as its variable half_width."""
    return table.assign(half_width=half_widths(table))


def noise_half_widths(table: xr.Dataset) -> xr.DataArray:
    """Half the width of the 95% interval of `noise_value`, a mean over the checks of a trace, which are independent."""
    checks = len(range(CHECK_EVERY // 2, from_json(table.attrs["settings"]).num_draws, CHECK_EVERY))
    return half_width(table.noise_se, max(1.0, checks - 1.0)).rename("half_width")


def ends(value: Numbers, half: Numbers) -> Float[np.ndarray, "*rest bound"]:
    """The lower and the upper end of an interval, from a value and half its width."""
    return np.stack([np.asarray(value - half), np.asarray(value + half)], -1)


def _slowest(settings: Settings) -> float:
    """Kept draws over the autocorrelation time of the slowest squared coordinate; 0 where nothing holds the chain."""
    kept = settings.num_draws - settings.num_burnin
    square = (1 - settings.lr * settings.localization / 2) ** 2
    return kept * (1 - square) / (1 + square) if square < 1 else 0.0
