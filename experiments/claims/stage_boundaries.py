"""Claims 13 and 14: boundaries that are found without the scores stand where the scores rise.

Both hold boundaries of each run against the onsets of its four scores (claim 1), by the distance in log(step + 1)
from each to the nearest of the other kind. There are two nulls: boundaries by chance, and the boundaries of the other
seeds, which know what is common to all runs but not when this run turned. The claim needs both.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ablations.not_measurable import NotMeasurable
from experiments.claims import stages
from experiments.statistics.nearness import distance, drawn_checkpoints, nearer
from experiments.statistics.permutation import p_value
from experiments.statistics.seeds import power
from experiments.statistics.seeds.seed_means import SeedMean, seed_mean
from experiments.statistics.shuffles import SHUFFLES, median_of_shuffles
from experiments.study.over_seeds import ALPHA, spread
from experiments.study.study import Study
from experiments.study.survival import not_applicable
from experiments.study.verdict import Claim, Control, Finding, Interest, verdict_of_interval

INTEREST = Interest(0.1, "in log step")


class Boundaries(NamedTuple):
    """What a run has: boundaries, as many by chance in each draw, and the onsets of its scores, all in steps."""

    run: str
    steps: np.ndarray  # at which they were looked for
    found: np.ndarray
    by_chance: list[np.ndarray]
    onsets: np.ndarray  # of the scores that rise


class Near(NamedTuple):
    """The statistic of some runs, against boundaries by chance."""

    by_run: list[float]  # mean distance by chance minus that found, in log step
    mean: SeedMean
    p: float  # of the mean over runs, by draws


def need(counts: Mapping[str, int], least: int, what: str) -> None:
    """Raises NotMeasurable where a run (by its name) has fewer than these; asked before anything is measured."""
    few = [f"{run} has {count} {what}" for run, count in counts.items() if count < least]
    if few:
        raise NotMeasurable(f"{'; '.join(few)}: {least} are needed")


def onsets(study: Study) -> list[np.ndarray]:
    """Of each judged run, the steps at which its scores have made 20% of their rise, of those that rise."""
    judged = [cells.run.name for cells in study.judged]
    every = (curves for curves in stages.all_curves(study) if curves.name in judged)
    risen = (stages.rises(curves, stages.SHARES["onset"]) for curves in every)
    return [np.array([one.step for one in crossings if math.isfinite(one.step)]) for crossings in risen]


def judge(claim: Claim, used: Sequence[Boundaries], *, name: str) -> Finding:
    """The finding of the judged runs. name: what the boundaries are."""
    testable = all(len(one.onsets) for one in used)
    known = [one for one in used if len(one.found) and len(one.onsets)]
    near = against_chance(known) if known else None
    others = against_others(known) if len(known) > 1 else None
    controls = (_control(known),) if near and testable else ()
    every = len(known) == len(used)
    met = bool(near and others and every and max(near.p, others.p) < ALPHA)
    by_run = dict(zip((one.run for one in known), near.by_run if near else [], strict=True))
    return Finding(
        claim=claim,
        statistic=f"how much nearer to the onsets of the scores {name} lie than by chance, in log(step + 1), mean over "
        "seeds; p is the larger one of two: against chance, and against the boundaries of the other seeds",
        value=near.mean.value if near else None,
        interval=near.mean.interval if near else None,
        null=0.0,
        p=max(near.p, others.p) if near and others else None,
        units=f"{len(used)} seeds ({', '.join(one.run for one in used)})",
        smallest_detectable=_detectable(known),
        controls=controls,
        survives=not_applicable(),
        details={
            "boundaries": {one.run: one.found for one in used},
            "onsets": {one.run: one.onsets for one in used},
            "nearer than chance": by_run,
            "p against chance": near.p if near else None,
            "p against other seeds": others.p if others else None,
        },
        diagnosis=_diagnosis(used, name),
        verdict=verdict_of_interval(
            testable=testable,
            met=met,
            interval=near.mean.interval if near else None,
            controls=controls,
            interest=INTEREST.value if every else None,
        ),
        interest=INTEREST,
        seeds_needed=power.seeds_needed(INTEREST.value, spread(by_run)) if by_run else None,
    )


def against_chance(runs: Sequence[Boundaries]) -> Near:
    """How much nearer than by chance; p from the draws of all runs together."""
    own, drawn = zip(*(nearer(one.found, one.onsets, one.by_chance) for one in runs), strict=True)
    by_run = [float(chance.mean() - found) for found, chance in zip(own, drawn, strict=True)]
    p = p_value(float(np.mean(own)), np.mean(drawn, axis=0), "less")
    return Near(by_run, seed_mean(by_run), p)


def against_others(runs: Sequence[Boundaries]) -> SeedMean:
    """How much nearer a run's boundaries lie to its onsets than those of the other runs do."""
    differences = []
    for one in runs:
        others = [distance(other.found, one.onsets) for other in runs if other is not one]
        differences.append(float(np.mean(others)) - distance(one.found, one.onsets))
    return seed_mean(differences)


def _control(runs: Sequence[Boundaries]) -> Control:
    """The test against chance with stages at random checkpoints."""

    def at_random(seed: int) -> Near:
        generator = np.random.default_rng(seed)
        seeds = generator.integers(2**31, size=len(runs))
        moved = (
            one._replace(
                onsets=drawn_checkpoints(one.steps, min(len(one.onsets), len(one.steps) - 2), draws=1, seed=n)[0]
            )
            for one, n in zip(runs, seeds.tolist(), strict=True)
        )
        return against_chance(list(moved))

    middle = median_of_shuffles(at_random, order=lambda near: near.p)
    name = f"as many stages at random checkpoints (the median of {SHUFFLES})"
    return Control(name, middle.mean.value, middle.p, middle.p < ALPHA)


def _detectable(runs: Sequence[Boundaries]) -> str:
    if not runs:
        return "none"
    drawn = np.mean([nearer(one.found, one.onsets, one.by_chance)[1] for one in runs], axis=0)
    least = float(drawn.mean() - np.quantile(drawn, ALPHA))
    few = f"; {len(runs)} seeds give no p below {0.5 ** len(runs):.2g} against the others" if len(runs) < 5 else ""
    return f"{least:.2f} in log step, against chance{few}"


def _diagnosis(used: Sequence[Boundaries], name: str) -> str:
    sentences = []
    for one in used:
        at = ", ".join(f"{step:.0f}" for step in one.found) or "none"
        scores = ", ".join(f"{step:.0f}" for step in np.sort(one.onsets)) or "none"
        sentences.append(f"{one.run}: {name} at steps {at}, onsets at {scores}")
    return "; ".join(sentences)
