"""Claim 15b: the posterior parts the induction circuit from multigram heads better than Gaussian draws do.

Gaussian draws have a component of their own, fixed on the first run in the same way: the claim is about what the loss
adds, not about which component it falls on.
"""

from collections.abc import Sequence

from experiments.claims import token_maps
from experiments.claims.token_maps import Heads
from experiments.study.study import Study
from experiments.study.verdict import Claim, Finding

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
    return token_maps.judge(
        CLAIM,
        every,
        judged,
        differences,
        statistic="d' of loadings in the posterior minus d' under Gaussian draws",
        details={
            "difference by run": differences(every, judged),
            "d' under Gaussian draws": token_maps.parted(every, judged, "noise").by_run,
        },
    )
