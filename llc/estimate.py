"""The learning coefficient of a trace, with its Monte Carlo standard error.

    lambda = nbeta * mean over draws and chains of [L_batch(w_t) - L_batch(w*)]

Chains share minibatches, so their errors are correlated: the standard error is that of the mean of the chain-averaged
series, never sd / sqrt(number of draws).
"""

from typing import NamedTuple

import numpy as np
from arviz_stats.base import array_stats

from llc.chains import Trace
from llc.settings import Settings

VERSION = 1  # raised by hand when the numbers change


class LLC(NamedTuple):
    """An estimate. NaN (value and errors) when a chain diverged and the caller did not drop it."""

    value: float  # without burn-in
    se: float
    ess: float  # effective draws, all chains together
    rhat: float  # split R-hat
    bad_chains: int  # diverged
    value_all_draws: float  # burn-in included, as the paper averages
    virial: float  # ratio to its exact stationary mean: near 1 when the chain has converged


def llc(trace: Trace, settings: Settings, *, drop_bad_chains: bool = False) -> LLC:
    """Reduces a trace."""
    good = np.isfinite(trace.loss).all(1)
    bad = int((~good).sum())
    if bad and not (drop_bad_chains and good.any()):
        nan = float("nan")
        return LLC(nan, nan, nan, nan, bad, nan, nan)
    series = settings.nbeta * (trace.loss[good] - trace.center_loss)
    kept = series[:, settings.num_burnin :]
    return LLC(
        value=float(kept.mean()),
        se=_number(array_stats.mcse(kept.mean(0, keepdims=True), method="mean", chain_axis=0, draw_axis=1)),
        ess=_number(array_stats.ess(kept, method="mean", chain_axis=0, draw_axis=1)),
        rhat=_number(array_stats.rhat(kept, method="split", chain_axis=0, draw_axis=1)),
        bad_chains=bad,
        value_all_draws=float(series.mean()),
        virial=float(trace.virial[good, settings.num_burnin :].mean() / trace.dimension),
    )


def _number(value: np.ndarray | float) -> float:
    return float(np.asarray(value).item())
