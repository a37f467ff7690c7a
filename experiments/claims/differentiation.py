"""Claim 2: heads of one kind share one rLLC curve over training; a: its shape (standardised curves), b: raw curves.

A head's kind is its first label. Mixed heads are a kind here as in the table of types, though they share nothing but
being none of the others; the details say what is found without them.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from experiments.measurements.variants import MAIN, NOISE, SURVIVAL, VALUE, Quantity
from experiments.statistics.clusters import RandTest, Scaling
from experiments.statistics.permutation import permuted, smallest_detectable
from experiments.statistics.seeds.seed_means import seed_mean
from experiments.statistics.shuffles import SHUFFLES, median_of_shuffles
from experiments.study import over_seeds
from experiments.study.curve_clusters import Group, by_seed, clusters, groups, rand, summary, table, usable
from experiments.study.over_seeds import BySeed
from experiments.study.study import Study
from experiments.study.survival import survival
from experiments.study.verdict import Claim, Control, Finding, Interest, Noise, verdict_of_interval

SHAPE = Claim(
    number=2,
    name="differentiation (shape)",
    statement="rLLC curves of heads of one kind have one shape over training",
    precondition="at least two types with two heads in a layer",
    criterion="p < 0.01",
    figure="clustering",
    part="a",
)
LEVEL = SHAPE._replace(
    name="differentiation (level)",
    statement="heads of one kind share one rLLC curve over training, level and shape",
    part="b",
)
CLAIMS: dict[Scaling, Claim] = {"standardised": SHAPE, "raw": LEVEL}  # by the scaling of the curves
ALPHA = 0.01
INTEREST = Interest(0.2, "in the adjusted Rand index")


def find(study: Study, scaling: Scaling) -> Finding:
    """Types are those at the end of training, curves of all checkpoints that were sampled."""

    def of_judged(way: str = MAIN, quantity: Quantity = VALUE) -> list[Group]:
        return [group for cells in study.judged for group in groups(study, cells, way, quantity)]

    def holds(way: str) -> bool | None:
        known = usable(of_judged(way))
        return rand(known, "k-means", scaling).p < ALPHA if known else None

    start = {cells.run.name for cells in study.judged if study.rllc(cells).step.values[0] == 0}
    own = of_judged()
    untrained = [group._replace(curves=group.curves[:, :1]) for group in own if group.run in start]
    return judge(scaling, own, of_judged(quantity=NOISE), untrained, survival(SURVIVAL, holds))


def judge(
    scaling: Scaling,
    every: Sequence[Group],
    noise: Sequence[Group],
    untrained: Sequence[Group],
    survives: dict[str, str],
) -> Finding:
    """The finding. every, noise: groups of the judged runs with curves of rLLCs and of the loss rise under plain noise;
    untrained: rLLCs at step 0 alone.

    p is of permuted types, the interval Student's t of the same mean over seeds. Raises NotMeasurable without any layer
    that is testable.
    """
    used, left_out = usable(every), [f"{g.run} layer {g.layer}" for g in every if not g.testable]
    few = [f"fewer than two types with two heads in {', '.join(left_out)}"] if left_out else []
    test = rand(used, "k-means", scaling) if used else None
    of_seeds = by_seed(used, test) if test else {}
    controls = _controls(scaling, used, usable(untrained))
    found = over_seeds.finding(
        CLAIMS[scaling],
        of_seeds,
        statistic=f"adjusted Rand index of k-means clusters of {scaling} curves with types, mean over layers (1: the "
        "same, 0: by chance); p from types permuted within layer and seed",
        interest=INTEREST,
        controls=controls,
        survives=survives,
        details=details(used, every) if used else {},
        remarks=few,
        untestable=few if not used else [],
        units=f"{sum(len(g.names) for g in used)} heads in {len(used)} layers of {len(of_seeds)} seeds "
        f"({', '.join(of_seeds)})",
        alpha=ALPHA,
    )
    return _by_permutation(found, test, controls, _beside(scaling, of_seeds, usable(noise))) if test else found


def _by_permutation(found: Finding, test: RandTest, controls: Sequence[Control], noise: Noise | None) -> Finding:
    """The finding with the p of the permutation test, and what that could have found."""
    limits, seeds = smallest_detectable(test.null, ALPHA), len(found.details["by seed"])
    seen = math.isfinite(limits.power_80)
    return replace(
        found,
        p=test.p,
        smallest_detectable=f"an index of {limits.power_80:.2f} (with a probability of 80%)" if seen else "none",
        seeds_needed=math.ceil(seeds * (limits.power_80 / INTEREST.value) ** 2) if seen else None,
        noise=noise,
        verdict=verdict_of_interval(
            testable=True,
            met=test.p < ALPHA,
            interval=found.interval,
            controls=controls,
            interest=INTEREST.value,
        ),
    )


def _beside(scaling: Scaling, of_seeds: BySeed, known: Sequence[Group]) -> Noise | None:
    """What curves of plain noise show; None where they are not known of the same seeds."""
    if not known:
        return None
    test = rand(known, "k-means", scaling)
    alone = by_seed(known, test)
    if alone.keys() != of_seeds.keys():
        return None
    more = seed_mean([value - alone[run] for run, value in of_seeds.items()])
    interval = seed_mean(list(alone.values())).interval
    return Noise(test.mean, interval, test.p, test.p < ALPHA, more.value, more.interval)


def _controls(scaling: Scaling, used: Sequence[Group], untrained: Sequence[Group]) -> tuple[Control, ...]:
    controls = []
    if used:
        middle = median_of_shuffles(
            lambda seed: rand([_shuffled(group, seed) for group in used], "k-means", scaling), order=lambda test: test.p
        )
        name = f"types shuffled within layer and seed (the median of {SHUFFLES})"
        controls.append(Control(name, middle.mean, middle.p, middle.p < ALPHA))
    if untrained and scaling == "raw":  # one point has no shape to standardise
        test = rand(untrained)
        runs = ", ".join(dict.fromkeys(group.run for group in untrained))
        controls.append(Control(f"rLLCs of the untrained model ({runs})", test.mean, test.p, test.p < ALPHA))
    return tuple(controls)


def _shuffled(group: Group, seed: int) -> Group:
    order = permuted(np.random.default_rng([seed, group.layer]), np.zeros(len(group.types)))
    return group._replace(types=group.types[order])


def details(used: Sequence[Group], every: Sequence[Group]) -> dict:
    """Every method and scaling, what is found without mixed heads, and the clusters of each group."""
    without = usable([_without(group, "mixed") for group in used])
    return {
        "adjusted Rand index": table(used),
        "without mixed heads": {s: summary(rand(without, "k-means", s)) for s in CLAIMS if without},
        "groups": [_described(group) for group in every],
    }


def _without(group: Group, kind: str) -> Group:
    kept = group.types != kind
    names = [name for name, keep in zip(group.names, kept, strict=True) if keep]
    return Group(group.run, group.layer, names, group.types[kept], group.curves[kept])


def _described(group: Group) -> dict:
    description: dict = {"run": group.run, "layer": group.layer, "testable": group.testable}
    description["types"] = dict(zip(group.names, group.types.tolist(), strict=True))
    if group.testable:
        description |= {scaling: clusters(group, "k-means", scaling).tolist() for scaling in CLAIMS}
    return description


FINDERS = {claim: partial(find, scaling=scaling) for scaling, claim in CLAIMS.items()}
