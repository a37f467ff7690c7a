"""Claim 3: the final rLLC of a multigram head grows with the number of multigrams it has learned.

The covariates are of the weights as trained, also where rLLCs are those of another gauge.
"""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from experiments.claims.differentiation import SHUFFLES, survival
from experiments.claims.study import Study
from experiments.claims.verdict import Claim, Control, Finding, opposite, verdict
from experiments.measurements.variants import MAIN, RANDOM, SURVIVAL
from experiments.results.cells import Cells
from experiments.statistics.partial import Partial, partial_spearman
from experiments.statistics.permutation import permuted, smallest_detectable

CLAIM = Claim(
    number=3,
    name="memorisation",
    statement="the final rLLC of a multigram head grows with the number of multigrams it has learned",
    precondition="15 multigram heads over all seeds",
    criterion="rho > 0, p < 0.05",
    figure="memorization",
)
ALPHA, NEEDED = 0.05, 15
FINAL_WAYS = SURVIVAL | {f"{name.replace(' ', ' gauge ')}": name for name in RANDOM}  # by label
SMALLEST = 2  # heads of a stratum: slopes are shared, so that small strata inform too; tests keep their level
COVARIATES = ("effect", "weight_norm")
COUNTS = ("rarefied", "multigrams", "n_grams")  # the first is the claim's


def find(study: Study) -> Finding:
    every = joined(study, study.cells)
    untrained = [cells for cells in study.cells if study.rllc(cells).step.values[0] == 0]

    def holds(way: str) -> bool | None:
        test = correlation(joined(study, study.judged, way))
        return None if test.reason else _met(test)

    control = joined(study, untrained, final=False) if untrained else None
    return judge(every, [cells.run.name for cells in study.judged], control, survival(FINAL_WAYS, holds))


def joined(study: Study, runs: Sequence[Cells], way: str = MAIN, final: bool = True) -> xr.Dataset:
    """`heads` of several runs."""
    return xr.concat([heads(study, cells, way, final) for cells in runs], "unit")


def heads(study: Study, cells: Cells, way: str = MAIN, final: bool = True) -> xr.Dataset:
    """What is known of each head [unit]: run, layer, name, type; rllc at the last checkpoint, or the first, and its se;
    rarefied, multigrams and n_grams that it has learned; effect of removing it, weight_norm.

    All but rllc are of the last checkpoint.
    """
    types = study.types(cells)
    at = {"restriction": types.restriction.values}
    rllc = study.rllc(cells, way).isel(step=-1 if final else 0).sel(at)
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
        "weight_norm": study.curvature(cells).isel(step=-1).weight_norm.sel(at).values,
    }
    return xr.Dataset({name: ("unit", values) for name, values in columns.items()})


def multigram(every: xr.Dataset, count: str = COUNTS[0]) -> xr.Dataset:
    """The multigram heads that have a count and an rLLC."""
    known = np.isfinite(every[count].values) & np.isfinite(every.rllc.values)
    return every.isel(unit=np.flatnonzero(known & (every.type.values == "multigram")))


def strata(found: xr.Dataset) -> np.ndarray:
    """Layer and seed of each head."""
    return np.char.add(np.char.add(found.run.values.astype(str), " layer "), found.layer.values.astype(str))


def covariates(found: xr.Dataset, given: Sequence[str] = COVARIATES) -> np.ndarray:
    return np.stack([found[name].values.astype(float) for name in given], 1) if given else np.empty((len(found.run), 0))


def correlation(every: xr.Dataset, count: str = COUNTS[0], given: Sequence[str] = COVARIATES) -> Partial:
    """Correlation of rLLC with a count among multigram heads, within layer and seed, given covariates."""
    used = multigram(every, count)
    x, y = (used[name].values.astype(float) for name in ("rllc", count))
    return partial_spearman(x, y, covariates(used, given), strata(used), smallest=SMALLEST)


def judge(every: xr.Dataset, judged: Sequence[str], untrained: xr.Dataset | None, survives: dict[str, str]) -> Finding:
    """every: `heads` of all runs; judged: the runs that the verdict comes from; untrained: with rLLCs of step 0."""
    used = _of_runs(every, judged)
    test, count = correlation(used), multigram(every).sizes["unit"]
    controls, interval = _controls(used, untrained), None if test.reason else test.interval
    met, testable = _met(test), count >= NEEDED
    limit = smallest_detectable(test.null).critical if len(test.null) else float("nan")
    return Finding(
        claim=CLAIM,
        statistic="partial Spearman correlation of final rLLC and multigrams learned (rarefied), multigram heads, "
        "within layer and seed, given ablation effect and weight norm",
        value=None if test.reason else test.value,
        interval=interval,
        null=0.0,
        p=None if test.reason else test.p,
        units=f"{multigram(used).sizes['unit']} multigram heads of {len(judged)} seeds ({', '.join(judged)}), "
        f"{count} in all seeds",
        smallest_detectable=f"rho = {limit:.2f}" if np.isfinite(limit) else "none",
        controls=controls,
        survives=survives,
        details=_details(every, used),
        diagnosis=_diagnosis(test, count),
        verdict=verdict(
            testable=testable,
            met=met,
            opposite=opposite(interval, 0.0) and not met,
            control_fired=any(control.fired for control in controls),
        ),
    )


def _met(test: Partial) -> bool:
    return bool(test.value > 0 and test.p < ALPHA)


def _of_runs(every: xr.Dataset, names: Sequence[str]) -> xr.Dataset:
    return every.isel(unit=np.flatnonzero(np.isin(every.run.values, names)))


def _controls(used: xr.Dataset, untrained: xr.Dataset | None) -> tuple[Control, ...]:
    tests = [correlation(_shuffled(used, seed)) for seed in range(SHUFFLES)]
    middle = sorted(tests, key=lambda test: test.p)[SHUFFLES // 2]
    found = [control(f"counts shuffled within layer and seed (the median of {SHUFFLES})", middle, _met(middle))]
    if untrained is not None:
        test = correlation(untrained)
        runs = ", ".join(np.unique(untrained.run.values).tolist())
        found.append(control(f"rLLCs of the untrained model ({runs})", test, _met(test)))
    return tuple(found)


def control(name: str, test: Partial, fired: bool) -> Control:
    return Control(name, None, None, False) if test.reason else Control(name, test.value, test.p, fired)


def _shuffled(used: xr.Dataset, seed: int) -> xr.Dataset:
    among = multigram(used)
    order = permuted(np.random.default_rng(seed), strata(among))
    return among.assign(rarefied=("unit", among.rarefied.values[order]))


def _details(every: xr.Dataset, used: xr.Dataset) -> dict:
    runs = {str(run): _of_runs(every, [str(run)]) for run in np.unique(every.run.values)}
    layers = {
        f"layer {layer}": used.isel(unit=np.flatnonzero(used.layer.values == layer))
        for layer in np.unique(used.layer.values).tolist()
    }
    among = multigram(every)
    return {
        "rho": {name: summary(correlation(part)) for name, part in ({"all seeds": every} | runs | layers).items()},
        "other counts": {name: summary(correlation(used, name)) for name in COUNTS[1:]},
        "without covariates": summary(correlation(used, given=())),
        "multigram heads": {str(name): values.values.tolist() for name, values in among.items()},
    }


def summary(test: Partial) -> dict:
    if test.reason:
        return {"reason": test.reason, "left out": test.left_out}
    return {"value": test.value, "p": test.p, "interval": list(test.interval), "heads": test.units}


def _diagnosis(test: Partial, count: int) -> str:
    said = [f"{count} multigram heads, {NEEDED} are needed"] if count < NEEDED else []
    if test.reason:
        said.append(test.reason)
    if test.left_out:
        said.append(f"{test.left_out} heads are alone in their layer")
    return "; ".join(said)
