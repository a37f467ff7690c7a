"""Claim 6: measured against a one-layer model of the same seed, layer 0's rLLCs fall after a peak and layer 1's rise.

The statistic of a run is the change from a reference step to the end of the mean over a layer's heads
(`layer_curves`). The reference step is where the mean of the other runs' layer 0 peaks after stage two. Where that is
the last checkpoint, nothing has fallen since, and the change is 0.

The noise beside it is the same with nbeta E0[dL] in place of the coefficient, from the choice of the reference step on;
both signs of each draw are taken, so that it holds no gradient.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

from ablations.not_measurable import NotMeasurable
from experiments.measurements.scores import SCORES
from experiments.measurements.variants import MAIN, NOISE, RELATIVE, SURVIVAL, VALUE, Quantity
from experiments.study import layer_curves, over_seeds, settled
from experiments.study.layer_curves import Heads, LayerCurves
from experiments.study.over_seeds import BySeed
from experiments.study.stage_two import second_stage
from experiments.study.study import Study
from experiments.study.survival import survival
from experiments.study.two_layers import need_two_layers
from experiments.study.verdict import Claim, Control, Finding, Interest

FALL = Claim(
    number=6,
    name="transfer: layer 0 falls",
    statement="measured against a one-layer model's predictions, layer 0's rLLCs fall after a peak",
    precondition="the one-layer reference is trained",
    criterion="layer 0's mean falls from the others' peak to the end, p < 0.05",
    figure="multigram-rllcs",
    part="a",
)
RISE = Claim(
    number=6,
    name="transfer: layer 1 rises",
    statement="measured against a one-layer model's predictions, layer 1's rLLCs rise after layer 0's peak",
    precondition="the one-layer reference is trained; the loss is settled",
    criterion="layer 1's mean rises from the others' peak of layer 0 to the end, p < 0.05",
    figure="multigram-rllcs",
    part="b",
)
BEYOND = Claim(
    number=6,
    name="transfer: no mere fall",
    statement="layer 0's rLLCs fall more against the one-layer model's predictions than by the next-token loss",
    precondition="the one-layer reference is trained",
    criterion="layer 0's fall, in logs, minus that of the next-token rLLC above 0, p < 0.05",
    figure="multigram-rllcs",
    part="c",
)
INTEREST = Interest(0.1, "of the mean at the reference step")
INTEREST_IN_LOGS = Interest(0.1, "in log ratio")


class Curves(NamedTuple):
    """The layers of all judged runs by both losses."""

    relative: LayerCurves  # against the one-layer model
    training: LayerCurves  # next token

    def shuffled(self, seed: int) -> "Curves":
        """Both with late checkpoints in the same random order."""
        return Curves(self.relative.shuffled(seed), self.training.shuffled(seed))


Statistic = Callable[[Curves], BySeed]


def falls(curves: Curves) -> BySeed:
    """How much layer 0's mean falls from the reference step to the end, over the mean there."""
    return {run: 1 - _end_over_reference(curves.relative, curves, run, 0) for run in curves.relative.means}


def rises(curves: Curves) -> BySeed:
    """How much layer 1's mean rises, over the mean at the reference step."""
    return {run: _end_over_reference(curves.relative, curves, run, 1) - 1 for run in curves.relative.means}


def falls_beyond(curves: Curves) -> BySeed:
    """How much more layer 0's mean falls against the one-layer model than by the next-token loss, in logs.

    NaN where one falls below 0, as coefficients against another model may: near it the loss can fall.
    """
    found = {}
    for run in curves.relative.means:
        training, relative = (_end_over_reference(of, curves, run, 0) for of in (curves.training, curves.relative))
        found[run] = math.log(training / relative) if min(training, relative) > 0 else math.nan
    return found


def _end_over_reference(of: LayerCurves, curves: Curves, run: str, layer: int) -> float:
    """A mean at the end over that at the run's reference step, which the relative curves decide; NaN unless that is
    above 0.
    """
    means = of.means[run][layer]
    before = float(means[curves.relative.reference(run)])
    return float(means[-1]) / before if before > 0 else math.nan


def find_fall(study: Study) -> Finding:
    """How much layer 0 falls."""
    statistic = "fall of layer 0's mean rLLC from the reference step to the end, over that at the reference step"
    return _find(study, FALL, falls, statistic, INTEREST)


def find_rise(study: Study) -> Finding:
    """How much layer 1 rises, where runs are settled."""
    statistic = "rise of layer 1's mean rLLC from the reference step to the end, over that at the reference step"
    return _find(study, RISE, rises, statistic, INTEREST, settled.untestable)


def find_beyond(study: Study) -> Finding:
    """How much more layer 0 falls than by the next-token loss."""
    statistic = "fall of layer 0's mean rLLC against the one-layer model, in logs, minus that of the next-token rLLC"
    return _find(study, BEYOND, falls_beyond, statistic, INTEREST_IN_LOGS)


def _find(
    study: Study,
    claim: Claim,
    of_curves: Statistic,
    statistic: str,
    interest: Interest,
    untestable: Callable[[Study], list[str]] = lambda study: [],
) -> Finding:
    """The finding of a statistic of the curves of all judged runs."""
    heads, second = _heads(study), {cells.run.name: second_stage(cells.table(SCORES)) for cells in study.judged}
    own = _curves(study, heads, second)
    noise = of_curves(_curves(study, heads, second, quantity=NOISE))
    if not _all_known(by_seed := of_curves(own)):
        raise NotMeasurable("a layer's mean rLLC is not above 0 where its change is asked for: there is no ratio")

    def holds(way: str) -> bool | None:
        in_way = of_curves(_curves(study, heads, second, way))
        return over_seeds.holds(in_way) if _all_known(in_way) else None

    counts = [sum(len(of_run[layer]) for of_run in heads.values()) for layer in (0, 1)]
    return over_seeds.finding(
        claim,
        by_seed,
        statistic=statistic,
        interest=interest,
        controls=[_control(own, of_curves)],
        noise=noise if _all_known(noise) else None,
        survives=survival(SURVIVAL, holds),
        details=_details(own, second, heads),
        remarks=[_sentence(own, run) for run in heads],
        untestable=untestable(study),
        units=f"{len(heads)} seeds ({', '.join(heads)}), {counts[0]} heads of layer 0 and {counts[1]} of layer 1",
    )


def _curves(
    study: Study, heads: dict[str, Heads], second: dict[str, int], way: str = "", quantity: Quantity = VALUE
) -> Curves:
    """The curves of the judged runs in a way of measuring (default: the plan's own), at the steps that all share."""
    ways = (f"{RELATIVE}, {way}", way) if way else (RELATIVE, MAIN)
    tables = [{cells.run.name: study.rllc(cells, one) for cells in study.judged} for one in ways]
    steps = layer_curves.shared_steps([table for of_runs in tables for table in of_runs.values()])
    return Curves(*(LayerCurves(steps, layer_curves.means(one, heads, steps, quantity), second) for one in tables))


def _control(own: Curves, of_curves: Statistic) -> Control:
    """The same with late checkpoints in random order; a run without a number in a draw is left out of it."""

    def shuffled(seed: int) -> BySeed:
        return {run: value for run, value in of_curves(own.shuffled(seed)).items() if math.isfinite(value)}

    return over_seeds.middle_control("late checkpoints in random order", shuffled)


def _all_known(by_seed: BySeed) -> bool:
    return all(map(math.isfinite, by_seed.values()))


def _heads(study: Study) -> dict[str, Heads]:
    """The heads of each judged run; raises NotMeasurable where a layer has none."""
    found = {}
    for cells in study.judged:
        need_two_layers(cells)
        found[cells.run.name] = heads = layer_curves.heads_of(study.types(cells))
        for layer, names in enumerate(heads):
            if not names:
                raise NotMeasurable(f"layer {layer} of {cells.run.name} has no active head but previous-token heads")
    return found


def _details(curves: Curves, second: dict[str, int], heads: dict[str, Heads]) -> dict:
    relative, training = curves
    steps = {"steps": relative.steps, "second stage": second}
    steps["reference step"] = {run: relative.steps[relative.reference(run)] for run in heads}
    return steps | {"heads": heads, "relative to one layer": relative.means, "next-token loss": training.means}


def _sentence(curves: Curves, run: str) -> str:
    """The means of both layers at the reference step and at the end."""
    at = curves.relative.reference(run)
    means = curves.relative.means[run]
    parts = (f"layer {layer} {mean[at]:.2f} to {mean[-1]:.2f}" for layer, mean in enumerate(means))
    return f"{run} from step {curves.relative.steps[at]:,}: {', '.join(parts)}"


FINDERS: dict[Claim, Callable[[Study], Finding]] = {FALL: find_fall, RISE: find_rise, BEYOND: find_beyond}
