"""Claim 15b: the posterior parts the induction circuit from multigram heads better than Gaussian draws do.

Gaussian draws have a component of their own, fixed on the first run in the same way: the claim is about what the loss
adds, not about which component it falls on.
"""

from collections.abc import Sequence

from ablations.not_measurable import NotMeasurable
from experiments.claims import token_maps
from experiments.claims.token_maps import ALPHA, INTEREST, Heads
from experiments.statistics.seed_means import seed_mean
from experiments.study.study import Study
from experiments.study.survival import not_applicable
from experiments.study.verdict import Claim, Finding, verdict_of_interval

CLAIM = Claim(
    number=15,
    name="beyond noise",
    statement="they part them better than the same number under Gaussian draws, which no loss has influenced",
    precondition="as for 15a",
    criterion="d' of the posterior minus that of Gaussian draws above 0, p < 0.05, paired over seeds",
    figure="susceptibilities",
    part="b",
)


def find(study: Study) -> Finding:
    """The difference of d' in every judged run."""
    judged = [cells.run.name for cells in study.judged]
    return judge(token_maps.heads(study), judged)


def differences(every: Sequence[Heads], judged: Sequence[str]) -> dict[str, float]:
    """d' of the posterior minus that of Gaussian draws, by run."""
    posterior, noise = (token_maps.parted(every, judged, source).by_run for source in ("value", "noise"))
    return {run: value - noise[run] for run, value in posterior.items()}


def judge(every: Sequence[Heads], judged: Sequence[str]) -> Finding:
    """The finding. every: the heads of all runs, the first of which the components are fixed on."""
    reasons, found = token_maps.unusable(every, judged), differences(every, judged)
    if not found:
        raise NotMeasurable("; ".join(reasons))
    mean = seed_mean(list(found.values()))
    controls = (token_maps.control(every, judged, differences),)
    met = mean.p < ALPHA
    return Finding(
        claim=CLAIM,
        statistic="d' of loadings in the posterior minus d' under Gaussian draws, mean over seeds",
        value=mean.value,
        interval=mean.interval,
        null=0.0,
        p=mean.p,
        units=f"{len(found)} seeds ({', '.join(found)})",
        smallest_detectable=f"p {mean.smallest_p:.2g} at best with so many seeds",
        controls=controls,
        survives=not_applicable(),
        details={
            "difference by run": found,
            "d' under Gaussian draws": token_maps.parted(every, judged, "noise").by_run,
            "excludes the smallest effect of interest": bool(mean.interval and mean.interval[1] < INTEREST),
        },
        diagnosis="; ".join([*(f"{run}: {value:+.2f}" for run, value in found.items()), *reasons]),
        verdict=verdict_of_interval(testable=not reasons, met=met, interval=mean.interval, controls=controls),
    )
