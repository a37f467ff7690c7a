"""Claim 1: bigrams, then longer n-grams, then previous-token heads, then induction heads.

Three neighbouring pairs of scores, each at onset and at half-rise: the claim needs all six differences, so that its
statistic is the one with the largest p (an intersection-union test, in which none needs a correction).
"""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Float, Int64

from ablations.not_measurable import NotMeasurable
from experiments.measurements.induction_heads import INDUCTION_HEADS
from experiments.measurements.predictions import PREDICTIONS
from experiments.measurements.scores import SCORES
from experiments.results.cells import Cells
from experiments.statistics.intervals import TWO_SIDED, margin
from experiments.statistics.onsets import Crossing, crossing, gap
from experiments.statistics.seeds.seed_means import seed_mean
from experiments.study import over_seeds
from experiments.study.over_seeds import ALPHA, BySeed
from experiments.study.study import Study
from experiments.study.verdict import Claim, Control, Finding, Interest

CLAIM = Claim(
    number=1,
    name="stages",
    statement="bigrams are learned before longer n-grams, then previous-token heads, then induction heads",
    precondition="all four scores rise in every judged run",
    criterion="each of three neighbouring differences above 0, at onset and at half-rise, p < 0.05",
    figure="stages",
)
INTEREST = Interest(0.1, "in log(step + 1)")
SCORE_NAMES = ("bigrams", "longer n-grams", "previous-token heads", "induction heads")
LONGER = (3, 4)  # n of the longer n-grams
SHARES = {"onset": 0.2, "half-rise": 0.5}
RISE = 0.05  # of a mean attention, at least; n-gram scores are ratios, bigram scores nats
SHUFFLES, ALLOWED = 19, 3
DRAWS = 200  # for the interval of a crossing
Rises = dict[str, list[Crossing]]  # onset and half-rise of each score


class Curves(NamedTuple):
    """The four scores of a run over training, as they rise."""

    name: str
    steps: Int64[np.ndarray, " checkpoint"]
    values: Float[np.ndarray, "score checkpoint"]
    errors: Float[np.ndarray, "score checkpoint"]
    others: Float[np.ndarray, "score checkpoint"]  # with the heads that were not chosen


def find(study: Study) -> Finding:
    """The order of the four scores over the judged runs."""
    return judge(all_curves(study), [cells.run.name for cells in study.judged])


def all_curves(study: Study) -> list[Curves]:
    """The curves of all runs; those without step 0 begin with the untrained model of one that has it."""
    untrained = next((cells for cells in study.cells if cells.run.steps[0] == 0), None)
    return [curves_of(cells, untrained) for cells in study.cells]


def curves_of(cells: Cells, untrained: Cells | None = None) -> Curves:
    """The curves of a run; without step 0, the untrained model of another serves, by the mean of a layer's heads."""
    scores, predictions, attrs = cells.table(SCORES), cells.table(PREDICTIONS), cells.table(INDUCTION_HEADS).attrs
    rising = _rising(scores, predictions, attrs)
    steps = scores.step.values.astype(np.int64)
    if steps[0] > 0 and untrained is not None:
        start = _untrained(*(untrained.table(kind).isel(step=[0]) for kind in (SCORES, PREDICTIONS)))
        rising = tuple(np.concatenate(pair, axis=1) for pair in zip(start, rising, strict=True))  # type: ignore[assignment]
        steps = np.concatenate([[0], steps])
    return Curves(cells.run.name, steps, *rising)


def _untrained(scores: xr.Dataset, predictions: xr.Dataset) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What `_rising` gives for a model in which no head has a role: the means of a layer's heads."""
    names, layer = scores.restriction.values, scores.layer.values
    every = {"previous": "+".join(names[layer == 0]), "induction": "+".join(names[layer > 0])}
    values, errors, _ = _rising(scores, predictions, every)
    return values, errors, values


def _rising(
    scores: xr.Dataset, predictions: xr.Dataset, heads: dict
) -> tuple[Float[np.ndarray, "score checkpoint"], Float[np.ndarray, "score checkpoint"], np.ndarray]:
    """Values, errors, and values of the heads that were not chosen.

    Bigrams: minus the cross-entropy to the text's bigram distribution. Longer n-grams: the mean score of n = 3 and 4.
    Heads share their text, so the error of a mean over them is bounded by the mean of their errors.
    """
    longer = predictions.sel(n=list(LONGER))
    above = predictions.bigram_cross_entropy - predictions.bigram_entropy
    values = [-above.values, longer.ngram_score.mean("n").values]
    # errors as large as normal ones would be whose intervals reach as far
    margins = [margin(predictions, "bigram_cross_entropy").values, margin(longer, "ngram_score").mean("n").values]
    others = list(values)
    for score, role, layers in (
        ("previous_token", "previous", scores.layer.values == 0),
        ("prefix_matching", "induction", scores.layer.values > 0),
    ):
        chosen = np.isin(scores.restriction.values, heads[role].split("+"))
        curves = scores[score].transpose("restriction", "step").values
        values.append(curves[chosen].mean(0))
        margins.append(margin(scores, score).transpose("restriction", "step").values[chosen].mean(0))
        rest = layers & ~chosen
        others.append(curves[rest].mean(0) if rest.any() else np.zeros(curves.shape[1]))
    return np.stack(values), np.stack(margins) / TWO_SIDED, np.stack(others)


def rises(curves: Curves, share: float) -> list[Crossing]:
    """The step at which each score had made this share of its rise from the first checkpoint to its best one.

    Scores may fall again: a model leaves bigrams as it learns to use more of the context.
    """
    crossings = []
    for number, (values, errors) in enumerate(zip(curves.values, curves.errors, strict=True)):
        best = int(np.argmax(values)) + 1
        if best < 2:
            crossings.append(Crossing(math.nan, math.nan, math.nan, "it is best at the first checkpoint"))
            continue
        least = RISE if number >= 2 else 0.0
        rise = crossing(curves.steps[:best], values[:best], share, errors=errors[:best], minimum=least, draws=DRAWS)
        crossings.append(rise)
    return crossings


def all_rises(curves: Curves) -> Rises:
    """The crossings of each score at both levels."""
    return {level: rises(curves, share) for level, share in SHARES.items()}


def testable(risen: Rises) -> bool:
    """Whether all four scores rise."""
    return not any(math.isnan(rise.step) for crossings in risen.values() for rise in crossings)


def differences(risen: Mapping[str, Rises]) -> dict[str, BySeed]:
    """How much later each stage comes than the one before, in log(step + 1), by level and pair, and by run.

    Runs in which a score does not rise have none.
    """
    by_pair: dict[str, dict[str, float]] = {}
    for run, of_run in risen.items():
        for level, crossings in of_run.items() if testable(of_run) else ():
            for names, pair in zip(pairwise(SCORE_NAMES), pairwise(crossings), strict=True):
                by_pair.setdefault(f"{level}: {names[0]}, then {names[1]}", {})[run] = gap(*pair)[0]
    return dict(by_pair)


def least(by_pair: Mapping[str, BySeed]) -> str:
    """The pair and level with the largest p over runs; of equal ones that with the smallest mean."""

    def order(name: str) -> tuple[float, float]:
        mean = seed_mean(list(by_pair[name].values()))
        return mean.p, -mean.value

    return max(by_pair, key=order)


def judge(every: Sequence[Curves], judged: Sequence[str]) -> Finding:
    """The finding of the judged runs; every run's crossings are in details.

    Raises NotMeasurable where no judged run has all four rises, and where those of one lie within two checkpoints,
    which tell no order.
    """
    risen = {curves.name: all_rises(curves) for curves in every}
    used = [curves for curves in every if curves.name in judged and testable(risen[curves.name])]
    for curves in used:
        if len(curves.steps) < 3:
            raise NotMeasurable(f"run {curves.name} has {len(curves.steps)} checkpoints: an order of rises needs three")
    by_pair = differences({curves.name: risen[curves.name] for curves in used})
    untestable = [f"{run}: {_sentence(risen[run])}" for run in judged if not testable(risen[run])]
    name = least(by_pair) if by_pair else "none"
    return over_seeds.finding(
        CLAIM,
        by_pair.get(name, {}),
        statistic="how much later a stage comes than the one before, in log(step + 1); of three neighbouring pairs at "
        f"onset (20% of the rise) and at half-rise the one with the largest p ({name})",
        interest=INTEREST,
        controls=_controls(used) if used and not untestable else (),
        details={"differences": {pair: _summary(of_pair) for pair, of_pair in by_pair.items()}}
        | {curves.name: _details(risen[curves.name]) for curves in every},
        remarks=[f"{curves.name}: {_sentence(risen[curves.name])}" for curves in used] + _spacing(used),
        untestable=untestable,
    )


def _controls(used: Sequence[Curves]) -> tuple[Control, ...]:
    """The criterion on checkpoints in random order, and on the heads that were not chosen."""
    generator = np.random.default_rng(0)
    passed = 0
    for _ in range(SHUFFLES):
        shuffled = [_in_order(curves, generator.permutation(len(curves.steps))) for curves in used]
        passed += _as_claimed("", shuffled).fired
    return (
        Control(f"checkpoints in random order (share of {SHUFFLES})", passed / SHUFFLES, None, passed > ALLOWED),
        _as_claimed("the heads that were not chosen", [curves._replace(values=curves.others) for curves in used]),
    )


def _as_claimed(name: str, runs: Sequence[Curves]) -> Control:
    """The criterion on other curves; it is not met where a score does not rise in every run."""
    by_pair = differences({curves.name: all_rises(curves) for curves in runs})
    worst = by_pair[least(by_pair)] if by_pair else {}
    return over_seeds.control(name, worst if len(worst) == len(runs) else {})


def _in_order(curves: Curves, order: Int64[np.ndarray, " checkpoint"]) -> Curves:
    """Values and errors in another order of the checkpoints."""
    return curves._replace(values=curves.values[:, order], errors=curves.errors[:, order])


def _summary(of_pair: BySeed) -> dict:
    mean = seed_mean(list(of_pair.values()))
    return {"by seed": dict(of_pair), "mean": mean.value, "interval": mean.interval, "p": mean.p, "met": mean.p < ALPHA}


def _spacing(used: Sequence[Curves]) -> list[str]:
    if not used:
        return []
    widest = max(float(np.diff(np.log1p(curves.steps[1:].astype(float))).max()) for curves in used)
    return [f"checkpoints stand up to {widest:.2f} apart in log step: stages between two of them are not told apart"]


def _details(risen: Rises) -> dict:
    return {
        level: {score: rise._asdict() for score, rise in zip(SCORE_NAMES, crossings, strict=True)}
        for level, crossings in risen.items()
    }


def _sentence(risen: Rises) -> str:
    parts = []
    for level, crossings in risen.items():
        missing = [f"{score}: {rise.reason}" for score, rise in zip(SCORE_NAMES, crossings, strict=True) if rise.reason]
        if missing:
            return ", ".join(missing)
        steps = (f"{rise.step:.0f} [{rise.low:.0f}, {rise.high:.0f}]" for rise in crossings)
        parts.append(f"{level} at steps {', '.join(steps)}")
    return ", ".join(parts)


FINDERS = {CLAIM: find}
