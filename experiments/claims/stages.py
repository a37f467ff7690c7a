"""Claim 1: bigrams, then longer n-grams, then previous-token heads, then induction heads."""

import math
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Float, Int64
from scipy import stats

from ablations.not_measurable import NotMeasurable
from experiments.measurements.induction_heads import INDUCTION_HEADS
from experiments.measurements.predictions import PREDICTIONS
from experiments.measurements.scores import SCORES
from experiments.results.cells import Cells
from experiments.statistics.intervals import TWO_SIDED, margin
from experiments.statistics.onsets import Crossing, crossing, gap
from experiments.study.study import Study
from experiments.study.survival import not_applicable
from experiments.study.verdict import Claim, Control, Finding, any_fired, verdict

CLAIM = Claim(
    number=1,
    name="stages",
    statement="bigrams are learned before longer n-grams, then previous-token heads, then induction heads",
    precondition="all four scores rise",
    criterion="the order holds for both, in every seed",
    figure="stages",
)
SCORE_NAMES = ("bigrams", "longer n-grams", "previous-token heads", "induction heads")
LONGER = (3, 4)  # n of the longer n-grams
SHARES = {"onset": 0.2, "half-rise": 0.5}
RISE = 0.05  # of a mean attention, at least; n-gram scores are ratios, bigram scores nats
ORDERS = math.factorial(len(SCORE_NAMES))
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


class Gap(NamedTuple):
    """How much later than one stage the next comes, in log(step + 1), with its 95% confidence interval."""

    run: str
    between: str
    value: float
    low: float
    high: float


def find(study: Study) -> Finding:
    """The curves of the four scores of every run; the verdict needs the order in each."""
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


def gaps(name: str, level: str, crossings: list[Crossing]) -> list[Gap]:
    """The gaps between each stage of a run and the next. level: onset or half-rise."""
    names = [f"{level}: {before}, {after}" for before, after in pairwise(SCORE_NAMES)]
    return [Gap(name, between, *gap(*pair)) for between, pair in zip(names, pairwise(crossings), strict=True)]


def all_rises(curves: Curves) -> Rises:
    """The crossings of each score at both levels."""
    return {level: rises(curves, share) for level, share in SHARES.items()}


def all_gaps(name: str, risen: Rises) -> list[Gap]:
    """The gaps of a run at both levels."""
    return [between for level, crossings in risen.items() for between in gaps(name, level, crossings)]


def holds(of_run: list[Gap]) -> bool:
    """Whether every stage comes later than the one before, by more than the interval; not where one does not rise."""
    return all(between.low > 0 for between in of_run)  # NaN is not above 0


def testable(risen: Rises) -> bool:
    """Whether all four scores rise."""
    return not any(math.isnan(rise.step) for crossings in risen.values() for rise in crossings)


def judge(every: list[Curves], judged: list[str]) -> Finding:
    """The verdict is of the judged runs; every run's crossings are in details.

    Raises NotMeasurable where all scores of a judged run rise within two checkpoints, which tell no order.
    """
    risen = {curves.name: all_rises(curves) for curves in every}
    used = [curves for curves in every if curves.name in judged and testable(risen[curves.name])]
    for curves in used:
        if len(curves.steps) < 3:
            raise NotMeasurable(f"run {curves.name} has {len(curves.steps)} checkpoints: an order of rises needs three")
    enough = bool(used) and len(used) == len(judged)
    gaps_by_run = {curves.name: all_gaps(curves.name, risen[curves.name]) for curves in used}
    every_gap = [between for of_run in gaps_by_run.values() for between in of_run]
    worst = min(every_gap, key=lambda between: between.low, default=None)
    holding = sum(holds(of_run) for of_run in gaps_by_run.values())
    controls = _controls(used) if enough else ()
    return Finding(
        claim=CLAIM,
        statistic="the least gap from a stage to the next, in log(step + 1); it holds where all intervals are above 0",
        value=worst.value if enough and worst else None,
        interval=(worst.low, worst.high) if enough and worst else None,
        null=0.0,
        p=float(stats.binom.sf(holding - 1, len(used), 1 / ORDERS)) if enough else None,
        units=f"{len(used)} seeds ({', '.join(curves.name for curves in used)}), {len(every[0].steps)} checkpoints or "
        "fewer",
        smallest_detectable=_spacing(used),
        controls=controls,
        survives=not_applicable(),
        details={name: _details(of_run) for name, of_run in risen.items()},
        diagnosis="; ".join(f"{name}: {_sentence(of_run)}" for name, of_run in risen.items()),
        verdict=verdict(
            testable=enough,
            met=enough and holding == len(used),
            opposite=any(between.high < 0 for between in every_gap),
            control_fired=any_fired(controls),
        ),
    )


def _controls(used: list[Curves]) -> tuple[Control, ...]:
    """The criterion on checkpoints in random order, on the heads that were not chosen, and on every other order."""

    def passes(runs: list[Curves]) -> bool:
        return all(holds(all_gaps(curves.name, all_rises(curves))) for curves in runs)

    generator = np.random.default_rng(0)
    shuffled = 0
    for _ in range(SHUFFLES):
        shuffled += passes([_in_order(curves, generator.permutation(len(curves.steps))) for curves in used])
    others = passes([curves._replace(values=curves.others) for curves in used])
    return (
        Control(f"checkpoints in random order (share of {SHUFFLES})", shuffled / SHUFFLES, None, shuffled > ALLOWED),
        Control("the heads that were not chosen", float(others), None, others),
    )


def _in_order(curves: Curves, order: Int64[np.ndarray, " checkpoint"]) -> Curves:
    """Values and errors in another order of the checkpoints."""
    return curves._replace(values=curves.values[:, order], errors=curves.errors[:, order])


def _spacing(used: list[Curves]) -> str:
    if not used:
        return "none"
    widest = max(float(np.diff(np.log1p(curves.steps[1:].astype(float))).max()) for curves in used)
    return f"{widest:.2f} in log step: stages in one gap between checkpoints are not told apart"


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
