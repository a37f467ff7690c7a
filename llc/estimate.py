"""The learning coefficient of a trace, with its Monte Carlo standard error and its 95% interval.

    lambda = nbeta * mean over draws and chains of [L_batch(w_t) - L_batch(w*)]

Chains share minibatches, so their errors are correlated: the standard error is that of the mean of the chain-averaged
series, never sd / sqrt(number of draws) and never sd / sqrt(total ESS). The standard error is itself uncertain where
the effective draws are few; the interval (intervals.py) knows how few they are, value +- 1.96 se does not.
"""

import numpy as np
import xarray as xr
from arviz_stats.base import array_stats
from jaxtyping import Float

from llc import intervals
from llc.settings import Settings, from_json

VERSION = 2  # raised by hand when the numbers change


def learning_coefficient(trace: xr.Dataset, *, drop_bad_chains: bool = False) -> xr.Dataset:
    """Reduces a trace to its learning coefficient, with its standard error. The coefficient has no unit.

    Arguments:

        trace            a trace of `sample` or `sample_function`
        drop_bad_chains  whether chains that diverged are left out; otherwise one makes all values NaN

    The result is a Dataset with the trace's attributes and

        value, se                the paired estimate without burn-in, and its standard error
        rise, rise_se            the mean loss rise itself, in nats: value / nbeta, also where nbeta is 0
        chain_value, chain_se    [chain] the estimate of each chain alone
        value_all_draws          the estimate with burn-in included, as the paper averages
        unpaired, unpaired_se    the chains' loss less the center's loss on other minibatches (those of the burn-in),
                                 as other tools estimate it; NaN without burn-in
        ess, rhat                effective draws of all chains together; split R-hat, NaN for one chain
        bad_chains               how many chains diverged

        interval, rise_interval, unpaired_interval [bound], chain_interval [chain, bound]
                                 their 95% intervals (bound: "low", "high"), which `intervals` computes

    Example:

        >>> import torch
        >>> from ablations import models
        >>> from llc import QUICK, learning_coefficient, sample
        >>> sizes = {"n_layers": 2, "d_model": 16, "n_ctx": 12, "d_head": 4, "n_heads": 4, "d_vocab": 20}
        >>> model = models.new({**sizes, "attn_only": True, "seed": 0})
        >>> tokens = torch.randint(20, (32, 12), generator=torch.Generator().manual_seed(0))
        >>> trace = sample(model, tokens, ["L1H2"], settings=QUICK, seed=0)["L1H2"]
        >>> estimate = learning_coefficient(trace)
        >>> estimate.chain_value.sizes, estimate.bad_chains.item()
        (Frozen({'chain': 2}), 0)
        >>> bool(estimate.interval[0] < estimate.value < estimate.interval[1])
        True
        >>> bool(estimate.unpaired_se > estimate.se)  # pairing removes the noise of the minibatches
        True
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
        estimates["unpaired_se"] = float(np.hypot(mean_error(loss[:, settings.num_burnin :]), plain_error(center)))
    by_chain = [_reduce(series[None], settings) if np.isfinite(series).all() else _nothing() for series in rises(trace)]
    data: dict = {name: ((), np.array(value)) for name, value in estimates.items()} | {
        "bad_chains": ((), np.array(bad))
    }
    for name in ("value", "se"):
        data[f"chain_{name}"] = ("chain", np.array([estimate[name] for estimate in by_chain]))
    data |= _intervals(estimates, by_chain, settings)
    return xr.Dataset(data, {"bound": list(intervals.BOUNDS)}, trace.attrs | {"version": VERSION})


def half_width(series: Float[np.ndarray, "chain draw"], settings: Settings) -> float:
    """Half the width of the 95% interval of the mean of kept draws, such as the differences of two heads' rises."""
    errors = np.array([mean_error(chain[None]) for chain in series])
    degrees = intervals.degrees(_effective(series), len(series), settings)
    return float(intervals.half_width(intervals.combined(mean_error(series), errors), degrees))


def rises(trace: xr.Dataset) -> Float[np.ndarray, "chain draw"]:
    """The loss rise L_batch(w_t) - L_batch(w*) in nats, at every draw, burn-in included."""
    return trace.loss.values - trace.center_loss.values


def mean_error(series: Float[np.ndarray, "chain draw"]) -> float:
    """Standard error of the mean of chains that share their minibatches, from the chain-averaged series."""
    return number(array_stats.mcse(series.mean(0, keepdims=True), method="mean", chain_axis=0, draw_axis=1))


def number(value: np.ndarray | float) -> float:
    """A Python number from an array of one."""
    return float(np.asarray(value).item())


def _reduce(series: Float[np.ndarray, "chain draw"], settings: Settings) -> dict[str, float]:
    """The estimates from loss rises of chains that did not diverge."""
    kept = series[:, settings.num_burnin :]
    rise, error = float(kept.mean()), mean_error(kept)
    several = len(kept) > 1  # one chain, or one that is left, agrees with itself
    return {
        "value": settings.nbeta * rise,
        "se": settings.nbeta * error,
        "rise": rise,
        "rise_se": error,
        "ess": _effective(kept),
        "rhat": number(array_stats.rhat(kept, method="split", chain_axis=0, draw_axis=1)) if several else float("nan"),
        "value_all_draws": settings.nbeta * float(series.mean()),
        "unpaired": float("nan"),
        "unpaired_se": float("nan"),
    }


def _intervals(estimates: dict[str, float], by_chain: list[dict[str, float]], settings: Settings) -> dict[str, tuple]:
    """The intervals of an estimate and of its chains."""
    values, errors = (np.array([own[name] for own in by_chain]) for name in ("value", "rise_se"))
    chains = max(1, int(np.isfinite(errors).sum()))
    degrees = intervals.degrees(estimates["ess"], chains, settings)
    # in nats, so that nbeta 0 has an interval too
    half = intervals.half_width(intervals.combined(estimates["rise_se"], errors), degrees)
    alone = settings.nbeta * intervals.half_width(errors, degrees)
    # the other minibatches' mean loss rests on the draws of the burn-in
    apart = intervals.half_width(estimates["unpaired_se"], min(degrees, max(1.0, settings.num_burnin - 1.0)))
    return {
        "interval": ("bound", intervals.ends(estimates["value"], settings.nbeta * half)),
        "rise_interval": ("bound", intervals.ends(estimates["rise"], half)),
        "unpaired_interval": ("bound", intervals.ends(estimates["unpaired"], apart)),
        "chain_interval": (("chain", "bound"), intervals.ends(values, alone)),
    }


def _effective(series: Float[np.ndarray, "chain draw"]) -> float:
    """Effective draws of all chains together."""
    return number(array_stats.ess(series, method="mean", chain_axis=0, draw_axis=1))


def _nothing() -> dict[str, float]:
    """The same names with NaN, for chains that diverged."""
    names = ("value", "se", "rise", "rise_se", "ess", "rhat", "value_all_draws", "unpaired", "unpaired_se")
    return dict.fromkeys(names, float("nan"))


def plain_error(values: np.ndarray) -> float:
    """Standard error of the mean of independent values."""
    return float(values.std(ddof=1) / np.sqrt(len(values)))
