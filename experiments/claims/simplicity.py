"""Claim 4: induction heads end with lower rLLCs than multigram heads of the same layer."""

from typing import Literal

import numpy as np
import xarray as xr

from experiments.measurements.variants import MAIN, middle_step
from experiments.statistics.partial import Partial, adjusted_difference
from experiments.study import over_seeds
from experiments.study.final_heads import FINAL_WAYS, covariates, in_each, joined, shuffled, some, strata, untrained
from experiments.study.labelled_heads import labelled
from experiments.study.over_seeds import BySeed
from experiments.study.study import Study
from experiments.study.survival import survival
from experiments.study.verdict import Claim, Control, Finding, Interest

CLAIM = Claim(
    number=4,
    name="simplicity",
    statement="induction heads end with lower rLLCs than multigram heads of layer 1",
    precondition="6 heads of each kind over the judged seeds",
    criterion="p < 0.05",
    figure="rllcs",
)
INTEREST = Interest(0.1, "in log rLLC")
NEEDED = 6
LAYER = 1
DRAWS = 999  # for the p of the adjusted difference, which no verdict rests on
_INDUCTION, _MULTIGRAM = ("induction", ("multigram",)), ("multigram", ("induction",))  # a label, without others
Column = Literal["rllc", "noise"]


def find(study: Study) -> Finding:
    """Final rLLCs of the judged runs; those at mid-training beside."""

    def holds(way: str) -> bool | None:
        return over_seeds.holds(difference(joined(study, study.judged, way)))

    middle = xr.concat([joined(study, [cells], MAIN, middle_step(cells.run)) for cells in study.judged], "unit")
    return judge(joined(study, study.judged), middle, untrained(study), survival(FINAL_WAYS, holds))


def compared(every: xr.Dataset, column: Column = "rllc") -> xr.Dataset:
    """The heads of layer 1 with one of the two labels and not the other, and with a coefficient above 0; and whether
    each is a multigram head.
    """
    induction, multigram = (labelled(every, *pair) for pair in (_INDUCTION, _MULTIGRAM))
    positive = np.nan_to_num(every[column].values) > 0  # of others there is no logarithm
    kept = some(every, (induction | multigram) & positive & (every.layer.values == LAYER))
    return kept.assign(multigram=("unit", labelled(kept, *_MULTIGRAM)))


def difference(every: xr.Dataset, column: Column = "rllc") -> BySeed:
    """Mean log rLLC of multigram heads minus that of induction heads, of each seed that has both."""
    return _between(compared(every, column), column)


def _between(heads: xr.Dataset, column: Column) -> BySeed:
    def of_run(part: xr.Dataset) -> float:
        kind, values = part.multigram.values, np.log(part[column].values)
        return float(values[kind].mean() - values[~kind].mean()) if 0 < kind.sum() < len(kind) else float("nan")

    return in_each(heads, of_run)


def adjusted(every: xr.Dataset) -> Partial:
    """The difference within seeds given effect and weight norm, whose slopes all seeds share."""
    heads = compared(every)
    y, kind = np.log(heads.rllc.values), heads.multigram.values
    return adjusted_difference(
        y, kind, covariates(heads), strata(heads), alternative="greater", smallest=2, draws=DRAWS
    )


def judge(every: xr.Dataset, middle: xr.Dataset, first: xr.Dataset | None, survives: dict[str, str]) -> Finding:
    """The finding. every, middle: `heads` of the judged runs with the rLLCs of the end and of mid-training; first:
    those of the runs sampled at step 0, with its rLLCs.
    """
    heads = compared(every)
    by_seed, noise = difference(every), difference(every, "noise")
    simple, other = int((~heads.multigram.values).sum()), int(heads.multigram.values.sum())
    counted = f"{simple} induction and {other} multigram heads of layer {LAYER}"
    without = [run for run in dict.fromkeys(every.run.values.tolist()) if run not in by_seed]
    given, halfway = adjusted(every), difference(middle)
    return over_seeds.finding(
        CLAIM,
        by_seed,
        statistic=f"mean log of final rLLC, multigram minus induction heads of layer {LAYER}, within seed",
        interest=INTEREST,
        controls=_controls(heads, first),
        noise=noise if noise.keys() == by_seed.keys() else None,
        survives=survives,
        details={
            "given effect and weight norm": _summary(given),
            "at mid-training (labels of the end)": {"by seed": halfway, "given both": _summary(adjusted(middle))},
            "heads": {str(name): values.values.tolist() for name, values in heads.items()},
        },
        remarks=_remarks(every, given, halfway, without),
        untestable=[f"{counted}, {NEEDED} of each are needed"] if min(simple, other) < NEEDED else [],
        units=f"{counted}, {len(by_seed)} seeds ({', '.join(by_seed)})",
    )


def _remarks(every: xr.Dataset, given: Partial, halfway: BySeed, without: list[str]) -> list[str]:
    left_out = compared(every.assign(rllc=xr.ones_like(every.rllc))).sizes["unit"] - compared(every).sizes["unit"]
    remarks = [f"no head of one kind in {', '.join(without)}"] if without else []
    remarks += [f"{left_out} heads have no rLLC above 0 and are left out"] if left_out else []
    remarks.append(f"given effect and weight norm: {given.reason or f'{given.value:+.3g}'}")
    if halfway:
        remarks.append("at mid-training: " + ", ".join(f"{run} {value:+.3g}" for run, value in halfway.items()))
    return remarks


def _controls(heads: xr.Dataset, first: xr.Dataset | None) -> tuple[Control, ...]:
    """The criterion with kinds exchanged, and on the untrained model."""

    def exchanged(seed: int) -> BySeed:
        return _between(shuffled(heads, "multigram", seed), "rllc")

    controls = [over_seeds.middle_control("kinds exchanged within a seed", exchanged)]
    if first is not None:
        start = difference(first)
        controls.append(over_seeds.control(f"rLLCs of the untrained model ({', '.join(start)})", start))
    return tuple(controls)


def _summary(test: Partial) -> dict:
    if test.reason:
        return {"reason": test.reason, "left out": test.left_out}
    return {"value": test.value, "p": test.p, "interval": list(test.interval), "heads": test.units}


FINDERS = {CLAIM: find}
