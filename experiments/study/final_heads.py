"""Heads at the last checkpoint, as claims about final rLLCs compare them: a table of heads, strata and covariates.

The covariates are of the weights as trained, also where rLLCs are those of another gauge.
"""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from experiments.measurements.variants import MAIN, RANDOM, SURVIVAL
from experiments.results.cells import Cells
from experiments.statistics.partial import Partial
from experiments.study.study import Study
from experiments.study.verdict import Control

FINAL_WAYS = SURVIVAL | {f"{name.replace(' ', ' gauge ')}": name for name in RANDOM}  # by label
SMALLEST = 2  # heads of a stratum: slopes are shared, so that small strata inform too; tests keep their level
COVARIATES = ("effect", "weight_norm")


def joined(study: Study, runs: Sequence[Cells], way: str = MAIN, final: bool = True) -> xr.Dataset:
    """The heads of several runs, as `heads` gives them of one [unit]."""
    return xr.concat([heads(study, cells, way, final) for cells in runs], "unit")


def heads(study: Study, cells: Cells, way: str = MAIN, final: bool = True) -> xr.Dataset:
    """What is known of each head [unit]: run, layer, name, type; rllc at the last checkpoint, or the first, and its se;
    rarefied, multigrams and n_grams that it has learned; effect of removing it (nats per token), weight_norm.

    All but rllc are of the last checkpoint.
    """
    types = study.types(cells)
    in_order = {"restriction": types.restriction.values}
    rllc = study.rllc(cells, way).isel(step=-1 if final else 0).sel(in_order)
    columns = {
        "run": np.full(types.sizes["restriction"], cells.run.name),
        "layer": rllc.layer.values,
        "name": types.restriction.values,
        "type": types.type.values,
        "rllc": rllc.value.values,
        "se": rllc.se.values,
        "rarefied": types.rarefied.values,
        "multigrams": types.learned.sum("sort").values,
        "n_grams": types.learned.sel(sort="n-gram").values,
        "effect": types.effect.values,
        "weight_norm": study.curvature(cells).isel(step=-1).weight_norm.sel(in_order).values,
    }
    return xr.Dataset({name: ("unit", values) for name, values in columns.items()})


def untrained(study: Study) -> xr.Dataset | None:
    """The heads of the runs that were sampled at step 0, with the rLLCs of that step [unit]; None without any."""
    runs = [cells for cells in study.cells if study.rllc(cells).step.values[0] == 0]
    return joined(study, runs, final=False) if runs else None


def of_runs(heads: xr.Dataset, names: Sequence[str]) -> xr.Dataset:
    """The heads of the runs of these names."""
    return heads.isel(unit=np.flatnonzero(np.isin(heads.run.values, names)))


def strata(heads: xr.Dataset) -> np.ndarray:
    """Run and layer of each head, as one label [unit]."""
    return np.char.add(np.char.add(heads.run.values.astype(str), " layer "), heads.layer.values.astype(str))


def covariates(heads: xr.Dataset, given: Sequence[str] = COVARIATES) -> np.ndarray:
    """The columns of these names [unit, covariate]."""
    return np.stack([heads[name].values.astype(float) for name in given], 1) if given else np.empty((len(heads.run), 0))


def control(name: str, test: Partial, fired: bool) -> Control:
    """A negative control by this test, which has not fired where the test cannot be made."""
    return Control(name, None, None, False) if test.reason else Control(name, test.value, test.p, fired)


def summary(test: Partial) -> dict:
    """A test as details hold it: its numbers, or why it cannot be made."""
    if test.reason:
        return {"reason": test.reason, "left out": test.left_out}
    return {"value": test.value, "p": test.p, "interval": list(test.interval), "heads": test.units}
