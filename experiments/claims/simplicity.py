"""Claim 4: heads with simple algorithms end with lower rLLCs than multigram heads.

There are two contrasts, each within one layer, and the claim needs all of those that can be made: its statistic is the
one with the largest p (an intersection-union test, so that neither needs a correction).
"""

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from experiments.statistics.partial import Partial, adjusted_difference
from experiments.statistics.permutation import permuted, smallest_detectable
from experiments.statistics.shuffles import SHUFFLES, median_of_shuffles
from experiments.study.final_heads import (
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
    number=4,
    name="simplicity",
    statement="heads with simple algorithms end with lower rLLCs than multigram heads",
    precondition="both kinds in the layer",
    criterion="p < 0.05, for each of the two contrasts that can be made",
    figure="rllcs",
)
ALPHA = 0.05
CONTRASTS = {  # layer, and its simple heads
    "induction against multigram, layer 1": (1, ("induction",)),
    "previous- and current-token against multigram, layer 0": (0, ("previous-token", "current-token")),
}


def find(study: Study) -> Finding:
    """Final rLLCs and the types of heads, from all runs."""
    every, first = joined(study, study.cells), untrained(study)

    def holds(way: str) -> bool | None:
        tests = contrasts(joined(study, study.judged, way))
        return _met(tests) if tests else None

    return judge(every, [cells.run.name for cells in study.judged], first, survival(FINAL_WAYS, holds))


def contrasts(every: xr.Dataset) -> dict[str, Partial]:
    """The difference of simple and multigram heads by contrast; only those with both kinds in the layer of some run."""
    parts = {name: _part(every, *which) for name, which in CONTRASTS.items()}
    return {name: difference(part) for name, part in parts.items() if _both_kinds(part)}


def difference(part: xr.Dataset) -> Partial:
    """The difference of final rLLCs within layer and seed, given effect and weight norm."""
    simple = part.type.values != "multigram"
    y = part.rllc.values.astype(float)
    return adjusted_difference(y, simple, covariates(part), strata(part), smallest=SMALLEST)


def judge(every: xr.Dataset, judged: Sequence[str], first: xr.Dataset | None, survives: dict[str, str]) -> Finding:
    """The finding. every: `heads` of all runs; judged: the runs that the verdict comes from; first: rLLCs of step 0."""
    used = of_runs(every, judged)
    tests = contrasts(used)
    name, test = _worst(tests) if tests else ("no contrast", None)
    controls = _controls(used, first) if tests else ()
    met = _met(tests)
    interval = test.interval if test and not test.reason else None
    return Finding(
        claim=CLAIM,
        statistic="final rLLC, simple minus multigram heads, within layer and seed, given weight norm and ablation "
        f"effect; of the contrasts that can be made the one with the largest p ({name})",
        value=test.value if test and interval else None,
        interval=interval,
        null=0.0,
        p=test.p if test and interval else None,
        units=_units(used, tests, judged),
        smallest_detectable=_detectable(test) if test and interval else "none",
        controls=controls,
        survives=survives,
        details=_details(every, used, tests),
        diagnosis=_diagnosis(tests),
        verdict=verdict_of_interval(testable=bool(tests), met=met, interval=interval, controls=controls),
    )


def _part(every: xr.Dataset, layer: int, simple: tuple[str, ...]) -> xr.Dataset:
    kinds = np.isin(every.type.values, [*simple, "multigram"])
    known = kinds & (every.layer.values == layer) & np.isfinite(every.rllc.values)
    return every.isel(unit=np.flatnonzero(known))


def _both_kinds(part: xr.Dataset) -> bool:
    simple, homes = part.type.values != "multigram", strata(part)
    return any(0 < simple[homes == home].sum() < (homes == home).sum() for home in np.unique(homes))


def _met(tests: Mapping[str, Partial]) -> bool:
    return bool(tests) and all(test.p < ALPHA for test in tests.values())  # NaN where a contrast was refused


def _worst(tests: Mapping[str, Partial]) -> tuple[str, Partial]:
    return max(tests.items(), key=lambda named: np.inf if named[1].reason else named[1].p)


def _pooled(every: xr.Dataset) -> Partial:
    return difference(xr.concat([_part(every, *which) for which in CONTRASTS.values()], "unit"))


def _controls(used: xr.Dataset, first: xr.Dataset | None) -> tuple[Control, ...]:
    """The criterion with types shuffled, and on the untrained model."""
    middle = median_of_shuffles(
        lambda seed: _worst(contrasts(_shuffled(used, seed)))[1], order=lambda test: (bool(test.reason), test.p)
    )
    name = f"types shuffled within layer and seed (the median of {SHUFFLES})"
    controls = [control(name, middle, not middle.reason and middle.p < ALPHA)]
    tests = contrasts(first) if first is not None else {}
    if first is not None and tests:
        runs = ", ".join(np.unique(first.run.values).tolist())
        controls.append(control(f"rLLCs of the untrained model ({runs})", _worst(tests)[1], _met(tests)))
    return tuple(controls)


def _shuffled(used: xr.Dataset, seed: int) -> xr.Dataset:
    """Types exchanged among the heads that are compared with one another, so that the contrasts stay the same."""
    parts = []
    for which in CONTRASTS.values():
        part = _part(used, *which)
        order = permuted(np.random.default_rng(seed), strata(part))
        parts.append(part.assign(type=("unit", part.type.values[order])))
    return xr.concat(parts, "unit")


def _units(used: xr.Dataset, tests: Mapping[str, Partial], judged: Sequence[str]) -> str:
    counts = []
    for name in tests:
        simple = _part(used, *CONTRASTS[name]).type.values != "multigram"
        counts.append(f"{simple.sum()} against {(~simple).sum()} heads ({name})")
    return f"{'; '.join(counts) or 'no heads'}; {len(judged)} seeds ({', '.join(judged)})"


def _detectable(test: Partial) -> str:
    """The critical t, in units of rLLC by the interval, which is about 4 standard errors wide."""
    critical = smallest_detectable(test.null, alternative="less").critical
    if not np.isfinite(critical):
        return "none: too few arrangements of so few heads"
    return f"about {critical * (test.interval[1] - test.interval[0]) / 4:.2f} (t = {critical:.1f})"


def _details(every: xr.Dataset, used: xr.Dataset, tests: Mapping[str, Partial]) -> dict:
    by_run = {}
    for run in np.unique(every.run.values):
        of_run = of_runs(every, [str(run)])
        by_run[str(run)] = {name: _plain_means(of_run, *which) for name, which in CONTRASTS.items()}
    return {
        "contrasts": {name: summary(test) for name, test in tests.items()},
        "contrasts, all seeds": {name: summary(test) for name, test in contrasts(every).items()},
        "pooled over contrasts": summary(_pooled(used)),
        "pooled over contrasts, all seeds": summary(_pooled(every)),
        "mean final rLLC": by_run,
    }


def _plain_means(of_run: xr.Dataset, layer: int, simple: tuple[str, ...]) -> dict:
    """Mean rLLCs of one run, without covariates."""
    part = _part(of_run, layer, simple)
    kind, value = part.type.values != "multigram", part.rllc.values
    return {
        name: {"heads": part.name.values[which].tolist(), "mean": float(value[which].mean()) if which.any() else None}
        for name, which in (("simple", kind), ("multigram", ~kind))
    }


def _diagnosis(tests: Mapping[str, Partial]) -> str:
    sentences = [f"{name}: no layer has both kinds" for name in CONTRASTS if name not in tests]
    for name, test in tests.items():
        sentences.append(f"{name}: {test.reason or f'{test.value:+.2f}, p = {test.p:.3g}'}")
    return "; ".join(sentences)
