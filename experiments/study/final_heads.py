"""Heads at the last checkpoint, as claims about final rLLCs compare them: a table of heads, strata and covariates.

The covariates are of the weights as trained, also where rLLCs are those of another gauge.
"""

from collections.abc import Callable, Sequence

import numpy as np
import xarray as xr

from experiments.measurements.variants import MAIN, RANDOM, SURVIVAL
from experiments.results.cells import Cells
from experiments.statistics.permutation import permuted
from experiments.study.over_seeds import BySeed
from experiments.study.study import Study

FINAL_WAYS = SURVIVAL | {f"{name.replace(' ', ' gauge ')}": name for name in RANDOM}  # by label
COVARIATES = ("effect", "weight_norm")


def joined(study: Study, runs: Sequence[Cells], way: str = MAIN, step: int | None = None) -> xr.Dataset:
    """The heads of several runs, as `heads` gives them of one [unit]."""
    return xr.concat([heads(study, cells, way, step) for cells in runs], "unit")


def heads(study: Study, cells: Cells, way: str = MAIN, step: int | None = None) -> xr.Dataset:
    """What is known of each head [unit]: run, layer, name, type, labels; rllc with its se and the loss rise under plain
    noise, at the sampled checkpoint nearest to `step` (in log step; default: the last); rarefied, multigrams and
    n_grams that it has learned; effect of removing it (nats per token), weight_norm.

    All but rllc, se and noise are of the last checkpoint.
    """
    types, every = study.types(cells), study.rllc(cells, way)
    in_order = {"restriction": types.restriction.values}
    rllc = every.isel(step=-1 if step is None else _nearest(every.step.values, step)).sel(in_order)
    columns = {
        "run": np.full(types.sizes["restriction"], cells.run.name),
        "layer": rllc.layer.values,
        "name": types.restriction.values,
        "type": types.type.values,
        "labels": types.labels.values,
        "rllc": rllc.value.values,
        "noise": rllc.noise_value.values,
        "se": rllc.se.values,
        "rarefied": types.rarefied.values,
        "multigrams": types.learned.sum("sort").values,
        "n_grams": types.learned.sel(sort="n-gram").values,
        "effect": types.effect.values,
        "weight_norm": study.curvature(cells).isel(step=-1).weight_norm.sel(in_order).values,
    }
    return xr.Dataset({name: ("unit", values) for name, values in columns.items()})


def _nearest(steps: np.ndarray, step: int) -> int:
    return int(np.abs(np.log1p(steps.astype(float)) - np.log1p(step)).argmin())


def untrained(study: Study, way: str = MAIN) -> xr.Dataset | None:
    """The heads of the judged runs that were sampled at step 0, with the rLLCs of that step [unit]; None without."""
    runs = [cells for cells in study.judged if study.rllc(cells, way).step.values[0] == 0]
    return joined(study, runs, way, 0) if runs else None


def in_each(heads: xr.Dataset, statistic: Callable[[xr.Dataset], float]) -> BySeed:
    """A number of the heads of each run, by its name; runs where it is not finite are left out."""
    values = {str(run): statistic(some(heads, heads.run.values == run)) for run in dict.fromkeys(heads.run.values)}
    return {run: value for run, value in values.items() if np.isfinite(value)}


def some(heads: xr.Dataset, chosen: np.ndarray) -> xr.Dataset:
    """The heads that are chosen."""
    return heads.isel(unit=np.flatnonzero(chosen))


def strata(heads: xr.Dataset) -> np.ndarray:
    """Run and layer of each head, as one label [unit]."""
    return np.char.add(np.char.add(heads.run.values.astype(str), " layer "), heads.layer.values.astype(str))


def shuffled(heads: xr.Dataset, column: str, seed: int) -> xr.Dataset:
    """One column exchanged among the heads of a layer of a run."""
    order = permuted(np.random.default_rng(seed), strata(heads))
    return heads.assign({column: ("unit", heads[column].values[order])})


def covariates(heads: xr.Dataset, given: Sequence[str] = COVARIATES) -> np.ndarray:
    """The columns of these names [unit, covariate]."""
    return np.stack([heads[name].values.astype(float) for name in given], 1) if given else np.empty((len(heads.run), 0))
