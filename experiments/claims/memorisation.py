"""Claim 3: the final rLLC of a multigram head grows with the number of multigrams it has learned."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from experiments.statistics.partial import Partial, partial_spearman
from experiments.statistics.permutation import permuted, smallest_detectable
from experiments.statistics.shuffles import SHUFFLES, median_of_shuffles
from experiments.study.final_heads import (
    COVARIATES,
    FINAL_WAYS,
    SMALLEST,
    control,
    covariates,
    joined,
    of_runs,
    strata,
    summary,
    untrained,
)
from experiments.study.study import Study
from experiments.study.survival import survival
from experiments.study.verdict import Claim, Control, Finding, verdict_of_interval

CLAIM = Claim(
    number=3,
    name="memorisation",
    statement="the final rLLC of a multigram head grows with the number of multigrams it has learned",
    precondition="15 multigram heads over all seeds",
    criterion="rho > 0, p < 0.05",
    figure="memorization",
)
ALPHA, NEEDED = 0.05, 15
COUNTS = ("rarefied", "multigrams", "n_grams")  # the first is the claim's


def find(study: Study) -> Finding:
    """Final rLLCs and what each head has learned, from all runs."""
    every, first = joined(study, study.cells), untrained(study)

    def holds(way: str) -> bool | None:
        test = correlation(joined(study, study.judged, way))
        return None if test.reason else _met(test)

    return judge(every, [cells.run.name for cells in study.judged], first, survival(FINAL_WAYS, holds))


def multigram(every: xr.Dataset, count: str = COUNTS[0]) -> xr.Dataset:
    """The multigram heads that have a count and an rLLC."""
    known = np.isfinite(every[count].values) & np.isfinite(every.rllc.values)
    return every.isel(unit=np.flatnonzero(known & (every.type.values == "multigram")))


def correlation(every: xr.Dataset, count: str = COUNTS[0], given: Sequence[str] = COVARIATES) -> Partial:
    """The correlation of rLLC with a count among multigram heads, within layer and seed, given covariates."""
    used = multigram(every, count)
    x, y = (used[name].values.astype(float) for name in ("rllc", count))
    return partial_spearman(x, y, covariates(used, given), strata(used), smallest=SMALLEST)


def judge(every: xr.Dataset, judged: Sequence[str], first: xr.Dataset | None, survives: dict[str, str]) -> Finding:
    """The finding. every: `heads` of all runs; judged: the runs that the verdict comes from; first: rLLCs of step 0."""
    used = of_runs(every, judged)
    test, count = correlation(used), multigram(every).sizes["unit"]
    controls, interval = _controls(used, first), None if test.reason else test.interval
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
        verdict=verdict_of_interval(testable=testable, met=met, interval=interval, controls=controls),
    )


def _met(test: Partial) -> bool:
    return bool(test.value > 0 and test.p < ALPHA)


def _controls(used: xr.Dataset, first: xr.Dataset | None) -> tuple[Control, ...]:
    middle = median_of_shuffles(lambda seed: correlation(_shuffled(used, seed)), order=lambda test: test.p)
    controls = [control(f"counts shuffled within layer and seed (the median of {SHUFFLES})", middle, _met(middle))]
    if first is not None:
        test = correlation(first)
        runs = ", ".join(np.unique(first.run.values).tolist())
        controls.append(control(f"rLLCs of the untrained model ({runs})", test, _met(test)))
    return tuple(controls)


def _shuffled(used: xr.Dataset, seed: int) -> xr.Dataset:
    among = multigram(used)
    order = permuted(np.random.default_rng(seed), strata(among))
    return among.assign(rarefied=("unit", among.rarefied.values[order]))


def _details(every: xr.Dataset, used: xr.Dataset) -> dict:
    runs = {str(run): of_runs(every, [str(run)]) for run in np.unique(every.run.values)}
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


def _diagnosis(test: Partial, count: int) -> str:
    sentences = [f"{count} multigram heads, {NEEDED} are needed"] if count < NEEDED else []
    if test.reason:
        sentences.append(test.reason)
    if test.left_out:
        sentences.append(f"{test.left_out} heads are alone in their layer")
    return "; ".join(sentences)
