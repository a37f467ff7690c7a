"""Claim 12: other measures separate the kinds of heads less well than the rLLC.

A head's type is that of the nearest mean curve among the heads of the same layer of other seeds. Each measure's curves
are first put on one scale within layer and seed, levels and shapes kept; the details say what other scalings find.
The best of five others is better than any one of them by luck alone, which counts against the rLLC.
"""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from jaxtyping import Float
from scipy import stats

from ablations.not_measurable import NotMeasurable
from experiments.measurements.ablations import ABLATIONS
from experiments.measurements.variants import MAIN, SURVIVAL
from experiments.results.cells import Cells
from experiments.statistics.permutation import permuted
from experiments.statistics.prediction import Prediction, accuracy_difference
from experiments.statistics.shuffles import SHUFFLES, median_of_shuffles
from experiments.study.final_heads import strata
from experiments.study.study import Study
from experiments.study.survival import not_applicable, survival
from experiments.study.verdict import Claim, Control, Finding, verdict_of_interval

CLAIM = Claim(
    number=12,
    name="other measures",
    statement="other measures separate the kinds of heads less well than the rLLC",
    precondition="at least two types with two heads in a layer; two seeds",
    criterion="interval of rLLC minus the best other above 0",
    figure="baselines",
)
MEASURES = ("rLLC", "Hessian trace", "Fisher trace", "ablation effect", "weight norm", "Gaussian-noise loss rise")
SCALES = ("levels", "standardised", "ranks")  # the first is the claim's


def find(study: Study) -> Finding:
    """Curves of the six measures of all runs, at the checkpoints that they share."""
    every = features(study, study.cells)

    def holds(way: str) -> bool | None:
        heads = features(study, study.judged, way)
        return _met(prediction(heads)) if _testable(heads) else None

    return judge(every, features(study, study.judged), survival(SURVIVAL, holds))


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
    """One measure's curves, put on one scale within each layer of each seed.

    "levels": minus their mean, over their standard deviation (of all heads and steps). "standardised": each curve with
    mean 0 and standard deviation 1. "ranks": among the heads, step by step, from -1/2 to 1/2.
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


def prediction(
    heads: xr.Dataset, scale: str = SCALES[0], by_seed: bool = False, against: Sequence[str] = MEASURES[1:]
) -> Prediction:
    """The prediction by rLLCs against that by some of the others; the interval draws heads, or whole seeds."""
    first, *others = (on_scale(heads, measure, scale) for measure in (MEASURES[0], *against))
    labels = (heads.type.values, heads.layer.values, heads.run.values)
    return accuracy_difference(first, others, *labels, clusters=heads.run.values if by_seed else None)


def judge(every: xr.Dataset, judged: xr.Dataset, survives: dict[str, str]) -> Finding:
    """The finding. every, judged: `features` of all runs, and of those that the verdict comes from, at their steps."""
    testable = _testable(judged)
    test = prediction(judged) if testable else None
    met = test is not None and _met(test)
    controls = _controls(judged) if test else ()
    interval = test.interval if test else None
    runs = np.unique(judged.run.values).tolist()
    half = (interval[1] - interval[0]) / 2 if interval else float("nan")
    return Finding(
        claim=CLAIM,
        statistic="share of heads whose type is predicted from other seeds' (balanced over types), rLLC curves minus "
        "the best of the other measures' curves",
        value=test.value if test else None,
        interval=interval,
        null=0.0,
        p=None,
        units=f"{test.units if test else 0} heads of {len(runs)} seeds ({', '.join(runs)}), "
        f"{judged.sizes['step']} checkpoints",
        smallest_detectable=f"about {half:.2f} (half of the interval)" if test else "none",
        controls=controls,
        survives=survives if testable else not_applicable(),
        details=_details(every, judged) if test else {},
        diagnosis=_diagnosis(judged, test),
        verdict=verdict_of_interval(testable=testable, met=met, interval=interval, controls=controls),
    )


def _met(test: Prediction) -> bool:
    return test.interval[0] > 0


def _testable(heads: xr.Dataset) -> bool:
    """Whether there are two seeds, and in some layer two types with two heads."""
    types, homes = heads.type.values, strata(heads)
    counts = [np.unique(types[homes == home], return_counts=True)[1] for home in np.unique(homes)]
    return len(np.unique(heads.run.values)) >= 2 and any((count >= 2).sum() >= 2 for count in counts)


def _standard(curves: np.ndarray, axis: int | None) -> np.ndarray:
    spread = curves.std(axis=axis, keepdims=True)
    centred = curves - curves.mean(axis=axis, keepdims=True)
    return np.divide(centred, spread, out=np.zeros_like(curves), where=spread > 0)


def _controls(heads: xr.Dataset) -> tuple[Control, ...]:
    middle = median_of_shuffles(lambda seed: prediction(_shuffled(heads, seed)), order=lambda test: test.interval[0])
    name = f"types shuffled within layer and seed (the median of {SHUFFLES})"
    noise = heads.curve.copy(data=heads.curve.values.copy())
    noise[0] = np.random.default_rng(0).standard_normal(noise.shape[1:])
    random = prediction(heads.assign(curve=noise))
    return (
        Control(name, middle.value, None, _met(middle)),
        Control("random numbers in place of the rLLCs", random.value, None, _met(random)),
    )


def _shuffled(heads: xr.Dataset, seed: int) -> xr.Dataset:
    """Types exchanged among the heads of a layer of a seed."""
    order = permuted(np.random.default_rng(seed), strata(heads))
    return heads.assign(type=("head", heads.type.values[order]))


def _details(every: xr.Dataset, judged: xr.Dataset) -> dict:
    by_seed = prediction(judged, by_seed=True)
    return {
        "balanced accuracy": {scale: _summary(prediction(judged, scale)) for scale in SCALES},
        "balanced accuracy, all seeds": {scale: _summary(prediction(every, scale)) for scale in SCALES},
        "rLLC minus each": {measure: _pair(prediction(judged, against=(measure,))) for measure in MEASURES[1:]},
        "interval when whole seeds are drawn": list(by_seed.interval),
        "checkpoints": judged.step.values.tolist(),
    }


def _summary(test: Prediction) -> dict:
    accuracy = dict(zip(MEASURES, (test.first, *test.others), strict=True))
    return {"accuracy": accuracy, "chance": test.chance, "heads": test.units} | _pair(test)


def _pair(test: Prediction) -> dict:
    return {"difference": test.value, "interval": list(test.interval)}


def _diagnosis(heads: xr.Dataset, test: Prediction | None) -> str:
    if test is None:
        runs = len(np.unique(heads.run.values))
        return "one seed: there is none to leave out" if runs < 2 else "no layer has two types with two heads each"
    best = int(np.argmax(test.others))
    return (
        f"rLLC {test.first:.2f}, {MEASURES[1 + best]} {test.others[best]:.2f}, by chance {test.chance:.2f}; the "
        "interval is biased against the rLLC, since it takes the largest of five measures in every draw: no "
        "contradiction can rest on it (the details hold the interval against each measure alone)"
    )
