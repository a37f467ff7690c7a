"""Claim 6: measured against a one-layer model of the same seed, layer 0's rLLCs fall after a peak and layer 1's rise.

The statistic of a run is the change from a reference step to the end of the mean over a layer's heads
(`layer_curves`). The reference step is where the mean of the other runs' layer 0 peaks after stage two. Where that is
the last checkpoint, nothing has fallen since, and the change is 0.

The noise beside it is the same with nbeta E0[dL] in place of the coefficient, from the choice of the reference step on;
both signs of each draw are taken, so that it holds no gradient.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

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
from experiments.study.verdict import Claim, Finding, Interest

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
CONTROL = "late checkpoints in random order"
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
    return {run: 1 - np.exp(_log_change(curves.relative, curves, run, 0)) for run in curves.relative.means}


def rises(curves: Curves) -> BySeed:
    """How much layer 1's mean rises, over the mean at the reference step."""
    return {run: np.exp(_log_change(curves.relative, curves, run, 1)) - 1 for run in curves.relative.means}


def falls_beyond(curves: Curves) -> BySeed:
    """How much more layer 0's mean falls against the one-layer model than by the next-token loss, in logs."""
    return {
        run: _log_change(curves.training, curves, run, 0) - _log_change(curves.relative, curves, run, 0)
        for run in curves.relative.means
    }


def _log_change(of: LayerCurves, curves: Curves, run: str, layer: int) -> float:
    """log of the mean at the end over that at the run's reference step, which the relative curves decide."""
    means = of.means[run][layer]
    before, after = float(means[curves.relative.reference(run)]), float(means[-1])
    if not (before > 0 and after > 0):
        raise NotMeasurable(f"the mean rLLC of layer {layer} of {run} is not above 0: it has no logarithm")
    return float(np.log(after / before))


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

    def curves(way: str = "", quantity: Quantity = VALUE) -> Curves:
        ways = (f"{RELATIVE}, {way}", way) if way else (RELATIVE, MAIN)
        tables = [{cells.run.name: study.rllc(cells, one) for cells in study.judged} for one in ways]
        steps = layer_curves.shared_steps([table for of_runs in tables for table in of_runs.values()])
        means = [layer_curves.means(of_runs, heads, steps, quantity) for of_runs in tables]
        return Curves(*(LayerCurves(steps, of_loss, second) for of_loss in means))

    own = curves()
    counts = [sum(len(of_run[layer]) for of_run in heads.values()) for layer in (0, 1)]
    return over_seeds.finding(
        claim,
        of_curves(own),
        statistic=statistic,
        interest=interest,
        controls=[over_seeds.middle_control(CONTROL, lambda seed: of_curves(own.shuffled(seed)))],
        noise=of_curves(curves(quantity=NOISE)),
        survives=survival(SURVIVAL, lambda way: over_seeds.holds(of_curves(curves(way)))),
        details=_details(own, second, heads),
        remarks=[_sentence(own, run) for run in own.relative.means],
        untestable=untestable(study),
        units=f"{len(heads)} seeds ({', '.join(heads)}), {counts[0]} heads of layer 0 and {counts[1]} of layer 1",
    )


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
    steps = curves.relative.steps
    return {
        "steps": steps,
        "reference step": {run: steps[curves.relative.reference(run)] for run in curves.relative.means},
        "second stage": second,
        "heads": heads,
        "relative to one layer": dict(curves.relative.means),
        "next-token loss": dict(curves.training.means),
    }


def _sentence(curves: Curves, run: str) -> str:
    """The means of both layers at the reference step and at the end."""
    at = curves.relative.reference(run)
    means = curves.relative.means[run]
    parts = (f"layer {layer} {mean[at]:.2f} to {mean[-1]:.2f}" for layer, mean in enumerate(means))
    return f"{run} from step {curves.relative.steps[at]:,}: {', '.join(parts)}"


FINDERS: dict[Claim, Callable[[Study], Finding]] = {FALL: find_fall, RISE: find_rise, BEYOND: find_beyond}
