"""In-context linear regression: what is trained and measured, and which of two best predictions comes out.

Transformers learn to regress from contexts of new tasks, of 4 tasks, or of 16; the controls see labels that are
shuffled between contexts, from which nothing can be learned in context. Each is trained and measured in a minute.
"""

import math
from functools import partial
from typing import Any

import numpy as np

from experiments.settings import intervals
from experiments.settings.in_context_regression import measure, paths
from experiments.settings.in_context_regression.data import PRIOR_LOSS
from experiments.settings.in_context_regression.figure import draw
from experiments.settings.in_context_regression.measure import FEW, STEPS
from experiments.settings.parts import Measured, Part
from experiments.settings.table import Row

__all__ = ["CAPTION", "draw", "parts", "rows"]

SEEDS = (0, 1, 2)
COUNTS = {"new": None, "few": FEW, "more": 16}  # tasks to be trained on
BEFORE = 100  # the update at which the loss is falling: hardly any use is made of examples yet
# Columns of a curve: contexts of new tasks, then of the listed ones.
LOSS, RIDGE, DMMSE, LISTED_LOSS, LISTED_RIDGE, LISTED_DMMSE = range(1, 7)
RAVENTOS = "Raventos et al., arXiv:2306.15063: few tasks give dMMSE, many give ridge"
CARROLL = "Carroll et al., arXiv:2501.17745: intermediate numbers of tasks pass near ridge and leave it"
LANDSCAPE = "Hoogland et al., arXiv:2402.02364"
COMPLEX = "Carroll et al.: the specialised solution is the more complex one; set after seed 0 was seen"
AXIS = "Carroll et al.: joint PCA finds the axis between the two"
EXACT = "exact: ridge is the posterior mean, so that what is missed beyond it is the distance to it"
FALLS = (
    "It is largest while examples come into use and falls while predictions get better, by the curvatures as well: at "
    "this nbeta it measures how sensitive the function is to its weights, not how much was learned"
)
UNSURE = "Three seeds do not tell"
STAYS = "The distance is least at the end of training, which is short; 16 tasks of two numbers are much like new ones"

CAPTION = (
    "Top left: squared error on new tasks over training (three seeds; dotted: of predicting 0; dashed: ridge). Top "
    "right: error by the number of examples at the end, with the exact curve of ridge. Bottom left: predictions on "
    "fixed contexts in the plane of their first two principal components over all trainings of seed 0, from the cross; "
    "stars are ridge and dMMSE. Bottom right: the learning coefficient of the network's own function (bars: 95% "
    "intervals), sampled and by Laplace's method (hollow)."
)


def parts() -> list[Part]:
    """For each seed, networks of new tasks, of few and of more, and the control."""
    found = []
    for seed in SEEDS:
        found += [
            Part(f"{kind} {seed}", 55.0, partial(measure.training, count, seed)) for kind, count in COUNTS.items()
        ]
        found.append(Part(f"shuffled {seed}", 12.0, partial(measure.control, seed)))
    return found


def rows(measured: Measured) -> list[Row]:
    """Exact losses first, then which predictor is nearer, then complexity, paths and controls."""
    return [*_losses(measured), *_nearness(measured), *_complexity(measured), *_controls(measured)]


def _losses(measured: Measured) -> list[Row]:
    new = _of(measured, "new")
    start = intervals.mean([one["curve"][0][LOSS] / PRIOR_LOSS for one in new])
    first = intervals.mean([one["by_example"][0] / PRIOR_LOSS for one in new])
    end = intervals.mean([_end(one, LOSS) / _bayes(one) for one in new])
    every = [one for kind in COUNTS for one in _of(measured, kind)]
    excess = intervals.mean([_excess(one, "ridge", RIDGE) for one in every])
    prior = f"exact: {PRIOR_LOSS:g} is the loss of predicting 0, the mean of all tasks ({LANDSCAPE}, task prior)"
    return [
        Row("loss before training / the task prior's", 1.0, prior, *start, note=_not_zero(new)),
        Row("final loss without examples / the prior's", 1.0, prior, *first),
        Row("excess loss / squared distance to ridge, new tasks", 1.0, EXACT, *excess),
        Row(
            "final loss / ridge's Bayes loss, trained on new tasks",
            1.0,
            "ridge is optimal",
            *end,
            note=_unfinished(new),
        ),
    ]


def _nearness(measured: Measured) -> list[Row]:
    """The logarithm of distance to ridge over distance to dMMSE: below 0 is nearer to ridge."""
    listed = {
        kind: [math.log(_end(one, LISTED_RIDGE) / _end(one, LISTED_DMMSE)) for one in _of(measured, kind)]
        for kind in COUNTS
    }
    new, few, more = (intervals.mean(listed[kind]) for kind in COUNTS)
    return [
        Row("log distance to ridge / to dMMSE, new tasks", (-np.inf, 0.0), RAVENTOS, *new),
        Row(f"log distance to ridge / to dMMSE, {FEW} tasks", (0.0, np.inf), RAVENTOS, *few),
        Row("log distance to ridge / to dMMSE, 16 tasks", (0.0, np.inf), RAVENTOS, *more, note=_between(measured)),
        Row(
            "log distance to ridge, final / nearest, 16 tasks",
            (math.log(1.1), np.inf),
            CARROLL,
            *intervals.mean([_departure(one, RIDGE) for one in _of(measured, "more")]),
            note=STAYS,
        ),
    ]


def _complexity(measured: Measured) -> list[Row]:
    new, few, more = (_of(measured, kind) for kind in COUNTS)
    rise, later = (intervals.mean(_changes(new, step, before)) for step, before in ((BEFORE, 0), (STEPS, BEFORE)))
    four, sixteen = (intervals.mean(_differences(kind, new)) for kind in (few, more))
    ratio = intervals.mean(
        [one["llc"][str(STEPS)]["value"] / one["llc"][str(STEPS)]["laplace"] for one in new + few + more]
    )
    cosine = intervals.mean([paths.along(a, b) for a, b in zip(new, few, strict=True)])
    positive = (0.0, np.inf)
    return [
        Row(f"log LLC, update {BEFORE} / start, new tasks", positive, f"{LANDSCAPE}: stages by the LLC", *rise),
        Row(f"log LLC, final / update {BEFORE}, new tasks", positive, "ours: more is learned", *later, note=FALLS),
        Row(f"log LLC, {FEW} tasks / new tasks", positive, COMPLEX, *four, note=UNSURE),
        Row("log LLC, 16 tasks / new tasks", positive, COMPLEX, *sixteen, note=_between(measured)),
        Row(
            "sampled LLC / Laplace's value",
            1.0,
            "Laplace's method, coefficient.py",
            *ratio,
            note=_short(new + few + more),
        ),
        Row(f"cosine, ends of new - {FEW} tasks with ridge - dMMSE", positive, AXIS, *cosine),
    ]


def _changes(trainings: list[dict[str, Any]], step: int, before: int) -> list[float]:
    return [math.log(_llc(one, step) / _llc(one, before)) for one in trainings]


def _differences(trainings: list[dict[str, Any]], others: list[dict[str, Any]]) -> list[float]:
    return [math.log(_llc(one, STEPS) / _llc(other, STEPS)) for one, other in zip(trainings, others, strict=True)]


def _controls(measured: Measured) -> list[Row]:
    new, few = _of(measured, "new"), _of(measured, "few")
    shuffled = intervals.mean([_end(one, LOSS) / PRIOR_LOSS for one in _of(measured, "shuffled")])
    every = [one for kind in COUNTS for one in _of(measured, kind)]
    wrong = intervals.mean([_excess(one, "dmmse", DMMSE) for one in every])
    return [
        Row("final loss / the prior's, labels shuffled", (0.0, 0.95), "nothing to learn", *shuffled, control=True),
        Row("excess loss / squared distance, dMMSE for ridge", 1.0, EXACT, *wrong, control=True),
        Row(
            "cosine as above, random walks with the same steps",
            (0.0, np.inf),
            "walks have no direction",
            *paths.walks(new[0], few[0]),
            control=True,
        ),
    ]


def _of(measured: Measured, kind: str) -> list[dict[str, Any]]:
    return [measured[f"{kind} {seed}"] for seed in SEEDS]


def _end(training: dict[str, Any], column: int) -> float:
    return float(training["curve"][-1][column])


def _bayes(training: dict[str, Any]) -> float:
    return float(np.mean(training["reference"]["new"]["ridge_by_example"]))


def _excess(training: dict[str, Any], name: str, column: int) -> float:
    """How much more the final loss is than this predictor's on the same contexts, over the distance to it."""
    return (_end(training, LOSS) - float(training["reference"]["new"][name])) / _end(training, column)


def _llc(training: dict[str, Any], step: int) -> float:
    return float(training["llc"][str(step)]["value"])


def _departure(training: dict[str, Any], column: int) -> float:
    """The logarithm of the final distance over the least one on the way."""
    return math.log(_end(training, column) / min(row[column] for row in training["curve"]))


def _not_zero(trainings: list[dict[str, Any]]) -> str:
    more = np.mean([one["curve"][0][LOSS] - one["reference"]["new"]["zero"] for one in trainings])
    return f"Predictions start near 0 and not at 0, which costs {more:.2f}"


def _short(trainings: list[dict[str, Any]]) -> str:
    virial = np.mean([one["llc"][str(STEPS)]["virial"] for one in trainings])
    return f"Chains are short: the mean virial ratio is {virial:.3f}, and some have few effective draws"


def _unfinished(trainings: list[dict[str, Any]]) -> str:
    halfway = np.mean([one["curve"][-6][LOSS] / _bayes(one) for one in trainings])
    step = trainings[0]["curve"][-6][0]
    return f"A small network trained for a short time: at update {step} the ratio was {halfway:.2f}"


def _between(measured: Measured) -> str:
    apart = {kind: np.mean([one["reference"]["listed"]["apart"] for one in _of(measured, kind)]) for kind in COUNTS}
    return f"With 16 tasks ridge and dMMSE are {apart['more']:.2f} apart, with {FEW} tasks {apart['few']:.2f}"
