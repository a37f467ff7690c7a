"""Claim 15a: per-token susceptibilities part the induction circuit from multigram heads."""

from collections.abc import Sequence

from experiments.claims import token_maps
from experiments.claims.token_maps import Heads
from experiments.study.study import Study
from experiments.study.verdict import Claim, Finding

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
    found = token_maps.parted(every, judged, "value")
    return token_maps.judge(
        CLAIM,
        every,
        judged,
        of_posterior,
        statistic="d' of loadings, heads of the induction circuit minus multigram heads",
        details={
            "component": found.component + 1,
            "d' by run": found.by_run,
            "median agreement of halves": {one.run: one.agreement for one in every},
        },
        remarks=[f"component {found.component + 1} of the first seed"],
    )


def of_posterior(every: Sequence[Heads], judged: Sequence[str]) -> dict[str, float]:
    """d' in the posterior, by run."""
    return token_maps.parted(every, judged, "value").by_run
