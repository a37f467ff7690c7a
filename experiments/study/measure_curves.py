"""Curves of the six measures of every head over training, as types are predicted from them."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from jaxtyping import Float
from scipy import stats

from ablations.not_measurable import NotMeasurable
from experiments.measurements.ablations import ABLATIONS
from experiments.measurements.variants import MAIN
from experiments.results.cells import Cells
from experiments.study.final_heads import strata
from experiments.study.study import Study

RLLC, NOISE = "rLLC", "Gaussian-noise loss rise"
MEASURES = (RLLC, "Hessian trace", "Fisher trace", "ablation effect", "weight norm", NOISE)
SCALES = ("standardised", "levels", "ranks")


def features(study: Study, runs: Sequence[Cells], way: str = MAIN) -> xr.Dataset:
    """curve [measure, head, step] of the active heads, at the checkpoints that all these runs share; run, layer, name
    and type [head]. Heads with a value that is not finite are left out. Raises NotMeasurable where they share none.
    """
    tables = [_measures(study, cells, way) for cells in runs]
    shared = sorted(set.intersection(*(set(table.step.values.tolist()) for table in tables)))
    if not shared:
        raise NotMeasurable("these runs share no checkpoint that was measured: measure some at the same steps")
    joined = xr.concat([table.sel(step=shared) for table in tables], "head")
    known = np.isfinite(joined.curve).all(("measure", "step")).values & (joined.type.values != "inactive")
    return joined.isel(head=np.flatnonzero(known))


def _measures(study: Study, cells: Cells, way: str) -> xr.Dataset:
    types, rllc, curvature = study.types(cells), study.rllc(cells, way), study.curvature(cells)
    effect = cells.table(ABLATIONS).effect.sel({"method": "mean"}, drop=True)  # `method=` is an argument of sel
    measures = (rllc.value, curvature.hessian, curvature.fisher, effect, curvature.weight_norm, rllc.noise_value)
    steps = sorted(set.intersection(*(set(part.step.values.tolist()) for part in measures)))
    names = types.restriction.values
    in_order = {"step": steps, "restriction": names}
    curves = np.stack([part.sel(in_order).transpose("restriction", "step").values for part in measures])
    columns = {
        "run": np.full(len(names), cells.run.name),
        "layer": rllc.layer.sel(restriction=names).values,
        "name": names,
        "type": types.type.values,
    }
    data = {name: ("head", values) for name, values in columns.items()}
    dims = ("measure", "head", "step")
    return xr.Dataset(data | {"curve": (dims, curves)}, {"measure": list(MEASURES), "step": steps})


def on_scale(heads: xr.Dataset, measure: str, scale: str) -> Float[np.ndarray, "head step"]:
    """One measure's curves, put on one scale.

    "standardised": each curve with mean 0 and standard deviation 1. Within each layer of each seed, "levels": minus
    their mean, over their standard deviation (of all heads and steps); "ranks": among the heads, step by step, from
    -1/2 to 1/2.
    """
    curves = heads.curve.sel(measure=measure).transpose("head", "step").values.astype(float)
    if scale == "standardised":
        return _standard(curves, 1)
    homes = strata(heads)
    for home in np.unique(homes):
        inside = homes == home
        if scale == "levels":
            curves[inside] = _standard(curves[inside], None)
        else:
            curves[inside] = stats.rankdata(curves[inside], axis=0) / (inside.sum() + 1) - 0.5
    return curves


def _standard(curves: np.ndarray, axis: int | None) -> np.ndarray:
    spread = curves.std(axis=axis, keepdims=True)
    centred = curves - curves.mean(axis=axis, keepdims=True)
    return np.divide(centred, spread, out=np.zeros_like(curves), where=spread > 0)
