"""All gradient methods on one task, each path's estimate beside its exact effect, which at this size is affordable."""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float
from scipy import stats

from ablations.forward import Weights
from ablations.models import Config
from ablations.paths import Path, path_name
from ablations.running import as_in_workers
from circuits.attributions.atp_star import atp_star
from circuits.attributions.ceap import ceap
from circuits.attributions.eap import eap
from circuits.attributions.eap_ig_activations import eap_ig_activations
from circuits.attributions.eap_ig_inputs import eap_ig_inputs
from circuits.attributions.gim import gim
from circuits.attributions.relp import relp
from circuits.attributions.second_order import second_order
from circuits.discover_exact import exact
from circuits.discover_paths import Effects, candidates
from circuits.tasks import Metric, Task, logit_difference

EXACT = "exact"
METHODS: dict[str, Callable[..., Effects]] = {
    "EAP": eap,
    "EAP-IG (inputs)": eap_ig_inputs,
    "EAP-IG (activations)": eap_ig_activations,
    "CEAP": ceap,
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
    others: Mapping[str, Float[np.ndarray, " path"]] | None = None,
) -> xr.Dataset:
    """What the methods say of each path (default: all `candidates`).

    others: scores from elsewhere by name, one for each path (`circuits.attributions.written` reads EAP-IG's); their
    seconds are NaN.

    Gives effect [estimator, path], means over prompts in the metric's units (the first is "exact"); off [estimator,
    path], whether an estimate is more than a fifth of the exact effect away from it, where that is at least a hundredth
    of the largest; rank_correlation [estimator] with the exact sizes (Spearman's, of magnitudes), correlation
    [estimator] of the values (Pearson's) and seconds [estimator]. Beside these flag [path], where the second-order term
    says that the linear estimate, EAP, is not to be trusted (`circuits.attributions.second_order`), the terms' ratio
    second_order [path], and flag_seconds. Raises ValueError for an unknown method, no paths, other scores than one for
    each path, and what `exact` refuses.
    """
    if unknown := set(methods) - set(METHODS):
        raise ValueError(f"methods {sorted(unknown)}: choose from {', '.join(METHODS)}")
    chosen, others = list(candidates(cfg) if paths is None else paths), others or {}
    for name, scores in others.items():
        if np.shape(scores) != (len(chosen),) or not np.isfinite(scores).all() or name in (EXACT, *methods):
            raise ValueError(f"{np.shape(scores)} scores by {name!r}: give {len(chosen)} finite ones, by a new name")
    effects, seconds = [], []
    for run in (exact, *(METHODS[name] for name in methods)):
        found, took = _timed(run, weights, cfg, task, chosen, metric)
        effects.append(found.effect.mean(1))
        seconds.append(took)
    terms, flag_seconds = _timed(second_order, weights, cfg, task, chosen, metric)
    true, values = effects[0], np.stack([*effects, *others.values()])
    counts = abs(true) >= 0.01 * abs(true).max()
    data = {
        "effect": (("estimator", "path"), values),
        "off": (("estimator", "path"), counts & (abs(values - true) > OFF * abs(true))),
        "rank_correlation": ("estimator", [_correlation(stats.spearmanr, abs(one), abs(true)) for one in values]),
        "correlation": ("estimator", [_correlation(stats.pearsonr, one, true) for one in values]),
        "seconds": ("estimator", [*seconds, *(float("nan") for _ in others)]),
        "flag": ("path", terms.flagged()),
        "second_order": ("path", terms.ratio()),
        "flag_seconds": ((), flag_seconds),
    }
    names = [EXACT, *methods, *others]
    return xr.Dataset(data, {"estimator": names, "path": [path_name(path) for path in chosen]})


def _timed(run: Callable, *arguments: object) -> tuple[Any, float]:
    """What a call gives, and its seconds."""
    start = time.perf_counter()
    found = run(*arguments)
    return found, time.perf_counter() - start


def _correlation(of: Callable, one: np.ndarray, other: np.ndarray) -> float:
    """NaN where either does not vary."""
    return float(of(one, other).statistic) if min(len(one), np.ptp(one), np.ptp(other)) > 0 else float("nan")
