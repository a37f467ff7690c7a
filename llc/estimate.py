"""The learning coefficient of a trace, with its Monte Carlo standard error.

    lambda = nbeta * mean over draws and chains of [L_batch(w_t) - L_batch(w*)]

Chains share minibatches, so their errors are correlated: the standard error is that of the mean of the chain-averaged
series, never sd / sqrt(number of draws) and never sd / sqrt(total ESS).
"""

import numpy as np
import xarray as xr
from arviz_stats.base import array_stats
from jaxtyping import Float

from llc.settings import Settings, from_json

VERSION = 2  # raised by hand when the numbers change


def learning_coefficient(trace: xr.Dataset, *, drop_bad_chains: bool = False) -> xr.Dataset:
    """Reduces a trace. All in units of the coefficient (dimensionless) but counts and R-hat:

    value, se                  the paired estimate without burn-in, and its standard error
    rise, rise_se              the mean loss rise itself, in the loss's units: value / nbeta, also where nbeta is 0
    chain_value, chain_se      [chain] the same of each chain alone
    value_all_draws            burn-in included, as the paper averages
    unpaired, unpaired_se      held against the center's loss on other minibatches (those of the burn-in), as other
                               tools do; NaN without burn-in
    ess, rhat                  effective draws of all chains together; split R-hat
    bad_chains                 how many diverged: all values are NaN then, unless the caller drops those chains
    """
    settings = from_json(trace.attrs["settings"])
    good = np.isfinite(trace.loss.values).all(1)
    bad = int((~good).sum())
    usable = bool(good.any()) and (drop_bad_chains or not bad)
    kept_chains = good if usable else np.zeros_like(good)
    estimates = _reduce(rises(trace)[kept_chains], settings) if usable else _nothing()
    loss = settings.nbeta * trace.loss.values[kept_chains]
    center = settings.nbeta * trace.center_loss.values[: settings.num_burnin]
    if usable and len(center) > 1:
        estimates["unpaired"] = float(loss[:, settings.num_burnin :].mean() - center.mean())
        estimates["unpaired_se"] = float(np.hypot(mean_error(loss[:, settings.num_burnin :]), _plain_error(center)))
    by_chain = [_reduce(series[None], settings) if np.isfinite(series).all() else _nothing() for series in rises(trace)]
    data: dict = {name: ((), np.array(value)) for name, value in estimates.items()} | {
        "bad_chains": ((), np.array(bad))
    }
    for name in ("value", "se"):
        data[f"chain_{name}"] = ("chain", np.array([one[name] for one in by_chain]))
    return xr.Dataset(data, attrs=trace.attrs | {"version": VERSION})


def rises(trace: xr.Dataset) -> Float[np.ndarray, "chain draw"]:
    """L_batch(w_t) - L_batch(w*), every draw."""
    return trace.loss.values - trace.center_loss.values


def mean_error(series: Float[np.ndarray, "chain draw"]) -> float:
    """Standard error of the mean of chains that share their minibatches: of the chain-averaged series."""
    return number(array_stats.mcse(series.mean(0, keepdims=True), method="mean", chain_axis=0, draw_axis=1))


def number(value: np.ndarray | float) -> float:
    return float(np.asarray(value).item())


def _reduce(series: Float[np.ndarray, "chain draw"], settings: Settings) -> dict[str, float]:
    kept = series[:, settings.num_burnin :]
    rise, error = float(kept.mean()), mean_error(kept)
    several = len(kept) > 1  # one chain, or one that is left, agrees with itself
    return {
        "value": settings.nbeta * rise,
        "se": settings.nbeta * error,
        "rise": rise,
        "rise_se": error,
        "ess": number(array_stats.ess(kept, method="mean", chain_axis=0, draw_axis=1)),
        "rhat": number(array_stats.rhat(kept, method="split", chain_axis=0, draw_axis=1)) if several else float("nan"),
        "value_all_draws": settings.nbeta * float(series.mean()),
        "unpaired": float("nan"),
        "unpaired_se": float("nan"),
    }


def _nothing() -> dict[str, float]:
    names = ("value", "se", "rise", "rise_se", "ess", "rhat", "value_all_draws", "unpaired", "unpaired_se")
    return dict.fromkeys(names, float("nan"))


def _plain_error(values: np.ndarray) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values)))
