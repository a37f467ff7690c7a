"""Claim 15a: per-token susceptibilities part the induction circuit from multigram heads."""

from collections.abc import Sequence

from ablations.not_measurable import NotMeasurable
from experiments.claims import token_maps
from experiments.claims.token_maps import ALPHA, INTEREST, Heads, Parted
from experiments.statistics.seed_means import seed_mean
from experiments.study.study import Study
from experiments.study.survival import not_applicable
from experiments.study.verdict import Claim, Finding, verdict_of_interval

CLAIM = Claim(
    number=15,
    name="susceptibilities",
    statement="per-token susceptibilities part the heads of the induction circuit from multigram heads on a leading "
    "component",
    precondition="two heads of both kinds in every seed; halves of the chains agree",
    criterion="d' above 0, p < 0.05, on the component and with the sign of the first seed",
    figure="susceptibilities",
    part="a",
)


def find(study: Study) -> Finding:
    """d' of every judged run, in the posterior of the plan's settings."""
    judged = [cells.run.name for cells in study.judged]
    return judge(token_maps.heads(study), judged)


def judge(every: Sequence[Heads], judged: Sequence[str]) -> Finding:
    """The finding. every: the heads of all runs, the first of which the component is fixed on."""
    reasons = token_maps.unusable(every, judged)
    found = token_maps.parted(every, judged, "value")
    if not found.by_run:
        raise NotMeasurable("; ".join(reasons))
    mean = seed_mean(list(found.by_run.values()))
    controls = (token_maps.control(every, judged, _of_posterior),)
    return Finding(
        claim=CLAIM,
        statistic="d' of loadings, heads of the induction circuit minus multigram heads, mean over seeds",
        value=mean.value,
        interval=mean.interval,
        null=0.0,
        p=mean.p,
        units=f"{len(found.by_run)} seeds ({', '.join(found.by_run)})",
        smallest_detectable=f"p {mean.smallest_p:.2g} at best with so many seeds",
        controls=controls,
        survives=not_applicable(),
        details={
            "component": found.component + 1,
            "d' by run": found.by_run,
            "median agreement of halves": {one.run: one.agreement for one in every},
            "excludes the smallest effect of interest": bool(mean.interval and mean.interval[1] < INTEREST),
        },
        diagnosis="; ".join([f"component {found.component + 1} of the first seed", *_by_run(found), *reasons]),
        verdict=verdict_of_interval(testable=not reasons, met=_met(found), interval=mean.interval, controls=controls),
    )


def _of_posterior(every: Sequence[Heads], judged: Sequence[str]) -> dict[str, float]:
    return token_maps.parted(every, judged, "value").by_run


def _met(found: Parted) -> bool:
    return seed_mean(list(found.by_run.values())).p < ALPHA


def _by_run(found: Parted) -> list[str]:
    return [f"{run}: {value:+.2f}" for run, value in found.by_run.items()]
