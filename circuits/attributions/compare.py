"""All gradient methods on one task, each path's estimate beside its exact effect, which at this size is affordable."""

import time
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import xarray as xr
from scipy import stats

from ablations.forward import Weights
from ablations.models import Config
from ablations.paths import Path, path_name
from ablations.running import as_in_workers
from circuits.attributions.atp_star import atp_star
from circuits.attributions.eap import eap
from circuits.attributions.eap_ig_activations import eap_ig_activations
from circuits.attributions.eap_ig_inputs import eap_ig_inputs
from circuits.attributions.gim import gim
from circuits.attributions.relp import relp
from circuits.discover_exact import exact
from circuits.discover_paths import Effects, candidates
from circuits.tasks import Metric, Task, logit_difference

EXACT = "exact"
METHODS: dict[str, Callable[..., Effects]] = {
    "EAP": eap,
    "EAP-IG (inputs)": eap_ig_inputs,
    "EAP-IG (activations)": eap_ig_activations,
    "GIM": gim,
    "RelP": relp,
    "AtP, queries and keys": partial(atp_star, drop=False),
    "AtP*": atp_star,
}
OFF = 0.2  # of the exact effect: an estimate further away is flagged


@as_in_workers()
def compare(
    weights: Weights,
    cfg: Config,
    task: Task,
    paths: Sequence[Path] | None = None,
    metric: Metric = logit_difference,
    *,
    methods: Sequence[str] = tuple(METHODS),
) -> xr.Dataset:
    """What the methods say of each path (default: all `candidates`).

    Gives effect [estimator, path], means over prompts in the metric's units (the first is "exact"); off [estimator,
    path], whether an estimate is more than a fifth of the exact effect away from it, where that is at least a hundredth
    of the largest; rank_correlation [estimator] with the exact sizes (Spearman's, of magnitudes), correlation
    [estimator] of the values (Pearson's) and seconds [estimator]. Raises ValueError for an unknown method, no paths,
    and what `exact` refuses.
    """
    if unknown := set(methods) - set(METHODS):
        raise ValueError(f"methods {sorted(unknown)}: choose from {', '.join(METHODS)}")
    chosen = list(candidates(cfg) if paths is None else paths)
    effects, seconds = [], []
    for run in (exact, *(METHODS[name] for name in methods)):
        start = time.perf_counter()
        effects.append(run(weights, cfg, task, chosen, metric).effect.mean(1))
        seconds.append(time.perf_counter() - start)
    true, values = effects[0], np.stack(effects)
    counts = abs(true) >= 0.01 * abs(true).max()
    data = {
        "effect": (("estimator", "path"), values),
        "off": (("estimator", "path"), counts & (abs(values - true) > OFF * abs(true))),
        "rank_correlation": ("estimator", [_correlation(stats.spearmanr, abs(one), abs(true)) for one in values]),
        "correlation": ("estimator", [_correlation(stats.pearsonr, one, true) for one in values]),
        "seconds": ("estimator", seconds),
    }
    return xr.Dataset(data, {"estimator": [EXACT, *methods], "path": [path_name(path) for path in chosen]})


def _correlation(of: Callable, one: np.ndarray, other: np.ndarray) -> float:
    """NaN where either does not vary."""
    return float(of(one, other).statistic) if min(len(one), np.ptp(one), np.ptp(other)) > 0 else float("nan")
