"""Claim 15: per-token susceptibilities part the induction circuit from multigram heads, and more so than noise does.

b: Gaussian draws have a component of their own, fixed on the first run in the same way: the claim is about what the
loss adds, not about which component it falls on.

Both are of the last checkpoint and of the plan's nbeta (30), where maps of tokens are drawn. The same at nbeta 1,000
and at step 8,400 are to follow where susceptibilities are sampled there.
"""

from collections.abc import Callable, Sequence

from experiments.claims import token_maps
from experiments.claims.token_maps import Heads
from experiments.study.study import Study
from experiments.study.verdict import Claim, Finding

PARTED = Claim(
    number=15,
    name="susceptibilities",
    statement="per-token susceptibilities part the heads of the induction circuit from multigram heads on a leading "
    "component",
    precondition="two heads of both kinds in every seed; halves of the chains agree",
    criterion="d' above 0, p < 0.05, on the component and with the sign of the first seed",
    figure="susceptibilities",
    part="a",
)
BEYOND_NOISE = Claim(
    number=15,
    name="susceptibilities beyond noise",
    statement="they part them better than the same number under Gaussian draws, which no loss has influenced",
    precondition="as for 15a",
    criterion="d' of the posterior minus that of Gaussian draws above 0, p < 0.05, paired over seeds",
    figure="susceptibilities",
    part="b",
)


def find_parted(study: Study) -> Finding:
    """d' of every judged run, in the posterior of the plan's settings."""
    return judge_parted(token_maps.heads(study), [cells.run.name for cells in study.judged])


def judge_parted(every: Sequence[Heads], judged: Sequence[str]) -> Finding:
    """The finding of 15a. every: the heads of all runs, the first of which the component is fixed on."""
    component = token_maps.parted(every, judged, "value").component + 1
    return token_maps.judge(
        PARTED,
        every,
        judged,
        of_posterior,
        statistic="d' of loadings, heads of the induction circuit minus multigram heads",
        details={"component": component, "median agreement of halves": {one.run: one.agreement for one in every}},
        remarks=[f"component {component} of the first seed"],
    )


def of_posterior(every: Sequence[Heads], judged: Sequence[str]) -> dict[str, float]:
    """d' in the posterior, by run."""
    return token_maps.parted(every, judged, "value").by_run


def find_beyond_noise(study: Study) -> Finding:
    """The difference of d' in every judged run."""
    return judge_beyond_noise(token_maps.heads(study), [cells.run.name for cells in study.judged])


def judge_beyond_noise(every: Sequence[Heads], judged: Sequence[str]) -> Finding:
    """The finding of 15b. every: the heads of all runs, the first of which the components are fixed on."""
    return token_maps.judge(
        BEYOND_NOISE,
        every,
        judged,
        beyond_noise,
        statistic="d' of loadings in the posterior minus d' under Gaussian draws",
        details={"d' under Gaussian draws": token_maps.parted(every, judged, "noise").by_run},
    )


def beyond_noise(every: Sequence[Heads], judged: Sequence[str]) -> dict[str, float]:
    """d' of the posterior minus that of Gaussian draws, by run."""
    posterior, noise = (token_maps.parted(every, judged, source).by_run for source in ("value", "noise"))
    return {run: value - noise[run] for run, value in posterior.items()}


FINDERS: dict[Claim, Callable[[Study], Finding]] = {PARTED: find_parted, BEYOND_NOISE: find_beyond_noise}
