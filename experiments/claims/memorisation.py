"""Claim 3: the final rLLC of a head grows with the number of multigrams it has learned.

a, as in the paper: the plain rLLC, among multigram heads. b: the rLLC against the one-layer model, among all active
heads, given what removing the head costs and the norm of its weights. Both within layers of a seed.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import xarray as xr

from experiments.measurements.variants import BALANCED, MAIN, RECALIBRATED, RELATIVE
from experiments.statistics.partial import Partial, partial_spearman
from experiments.statistics.seeds.seed_means import seed_mean
from experiments.study import over_seeds
from experiments.study.final_heads import (
    COVARIATES,
    FINAL_WAYS,
    covariates,
    in_each,
    joined,
    shuffled,
    some,
    strata,
    untrained,
)
from experiments.study.labelled_heads import labelled
from experiments.study.over_seeds import BySeed
from experiments.study.study import Study
from experiments.study.survival import survival
from experiments.study.verdict import Claim, Control, Finding, Interest

INTEREST = Interest(0.2, "in rho")
COUNTS = ("rarefied", "multigrams", "n_grams")  # the first is the claim's
SMALLEST = 2  # heads of a stratum: slopes are shared, so that small strata inform too


class Part(NamedTuple):
    """One of the two correlations: of which heads and rLLCs, and given what."""

    claim: Claim
    multigram: bool  # multigram heads alone, in place of all active ones
    way: str
    given: tuple[str, ...]
    needed: int  # heads of all judged seeds
    ways: dict[str, str]  # other ways of measuring the rLLC, by label

    @property
    def kind(self) -> str:
        """The heads in words."""
        return "multigram heads" if self.multigram else "active heads"


A = Part(
    Claim(
        number=3,
        name="memorisation",
        statement="the final rLLC of a multigram head grows with the number of multigrams it has learned",
        precondition="15 multigram heads over the judged seeds",
        criterion="rho > 0, p < 0.05",
        figure="memorization",
        part="a",
    ),
    multigram=True,
    way=MAIN,
    given=(),
    needed=15,
    ways=FINAL_WAYS,
)
B = Part(
    Claim(
        number=3,
        name="memorisation beyond one layer",
        statement="the final rLLC of a head against the one-layer model grows with the number of multigrams it has "
        "learned, beyond what its ablation effect and the norm of its weights explain",
        precondition="30 active heads over the judged seeds",
        criterion="partial rho > 0, p < 0.05",
        figure="memorization",
        part="b",
    ),
    multigram=False,
    way=RELATIVE,
    given=COVARIATES,
    needed=30,
    ways={
        "recalibrated settings": f"{RELATIVE}, {RECALIBRATED}",
        "balanced gauge": f"{RELATIVE}, {BALANCED}",
    },
)


def find(study: Study, part: Part) -> Finding:
    """Final rLLCs and what each head has learned, of the judged runs."""

    def holds(way: str) -> bool | None:
        return over_seeds.holds(rho(chosen(joined(study, study.judged, way), part), part.given))

    every = joined(study, study.judged, part.way)
    return judge(part, every, untrained(study, part.way), survival(part.ways, holds))


def chosen(every: xr.Dataset, part: Part, count: str = COUNTS[0], value: str = "rllc") -> xr.Dataset:
    """The heads that a part is about, that have a count and an rLLC."""
    known = np.isfinite(every[count].values) & np.isfinite(every[value].values)
    kind = labelled(every, "multigram") if part.multigram else every.type.values != "inactive"
    return some(every, known & kind)


def correlation(
    heads: xr.Dataset, given: Sequence[str], count: str = COUNTS[0], value: str = "rllc", draws: int = 9999
) -> Partial:
    """The rank correlation of rLLC (or plain noise) with a count, within layer and seed."""
    x, y = (heads[name].values.astype(float) for name in (value, count))
    return partial_spearman(x, y, covariates(heads, given), strata(heads), smallest=SMALLEST, draws=draws)


def rho(heads: xr.Dataset, given: Sequence[str], count: str = COUNTS[0], value: str = "rllc") -> BySeed:
    """The correlation in each seed, whose own p no verdict rests on; seeds with too few heads have none."""
    return in_each(heads, lambda of_run: correlation(of_run, given, count, value, draws=0).value)


def judge(part: Part, every: xr.Dataset, first: xr.Dataset | None, survives: dict[str, str]) -> Finding:
    """The finding. every: `heads` of the judged runs; first: those of the runs sampled at step 0, with its rLLCs."""
    used = chosen(every, part)
    by_seed, noise = rho(used, part.given), rho(chosen(every, part, value="noise"), part.given, value="noise")
    count, runs = used.sizes["unit"], list(dict.fromkeys(every.run.values.tolist()))
    given = f", given {' and '.join(part.given).replace('_', ' ')}" if part.given else ""
    without = [run for run in runs if run not in by_seed]
    return over_seeds.finding(
        part.claim,
        by_seed,
        statistic=f"Spearman correlation of final rLLC ({part.way}) and multigrams learned (rarefied), {part.kind}, "
        f"within layer and seed{given}",
        interest=INTEREST,
        controls=_controls(part, used, first),
        noise=noise if noise.keys() == by_seed.keys() else None,
        survives=survives,
        details=_details(part, every),
        remarks=[f"too few heads for a rank in {', '.join(without)}"] if without else [],
        untestable=[f"{count} {part.kind}, {part.needed} are needed"] if count < part.needed else [],
        units=f"{count} {part.kind} of {len(by_seed)} seeds ({', '.join(by_seed)})",
    )


def _controls(part: Part, used: xr.Dataset, first: xr.Dataset | None) -> tuple[Control, ...]:
    def exchanged(seed: int) -> BySeed:
        return rho(shuffled(used, COUNTS[0], seed), part.given)

    controls = [over_seeds.middle_control("counts shuffled within layer and seed", exchanged)]
    if first is not None:
        start = rho(chosen(first, part), part.given)
        controls.append(over_seeds.control(f"rLLCs of the untrained model ({', '.join(start)})", start))
    return tuple(controls)


def _details(part: Part, every: xr.Dataset) -> dict:
    """The same for other counts, with and without covariates, and by layer; and the heads."""
    among = chosen(every, part)
    counts = {count: rho(chosen(every, part, count), part.given, count) for count in COUNTS[1:]}
    layers = {f"layer {layer}": some(among, among.layer.values == layer) for layer in np.unique(among.layer.values)}
    return {
        "other counts": {count: summary(by_seed) for count, by_seed in counts.items()},
        "without covariates": summary(rho(among, ())),
        "given effect and weight norm": summary(rho(among, COVARIATES)),
        "by layer": {layer: summary(rho(heads, part.given)) for layer, heads in layers.items()},
        "heads": {str(name): values.values.tolist() for name, values in among.items()},
    }


def summary(by_seed: BySeed) -> dict:
    """A correlation by seed as details hold it, with the test of its mean."""
    if not by_seed:
        return {"reason": "too few heads in every seed"}
    mean = seed_mean(list(by_seed.values()))
    return {"by seed": dict(by_seed), "mean": mean.value, "interval": mean.interval, "p": mean.p}


FINDERS = {part.claim: partial(find, part=part) for part in (A, B)}
