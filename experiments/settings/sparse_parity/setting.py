"""Sparse parity, several tasks at once: what is trained and measured, and whether complexity counts the tasks.

Networks learn 1 to 8 of 8 named tasks; the controls learn one and the same task under several names. Two networks are
followed while they learn all tasks, which are asked for with frequencies of a power law and learned one after another.
Training takes seconds, a learning coefficient ten.
"""

from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from experiments.settings import estimates, intervals, laplace, slopes
from experiments.settings.intervals import Interval
from experiments.settings.parts import Measured, Part, Place
from experiments.settings.sparse_parity import curvature
from experiments.settings.sparse_parity.figure import draw
from experiments.settings.sparse_parity.network import LEARNED, Tasks, errors, evaluation, outputs, tasks, train
from experiments.settings.table import Row
from llc import Settings, leimkuhler_matthews, sample_function

__all__ = ["CAPTION", "draw", "parts", "rows"]

WATCHED = (0, 1)  # the seeds of networks that are followed through training
NUMBERS, SAME_NUMBERS, SEEDS = (1, 2, 4, 8), (4, 8), (0, 1, 2)
STEPS, ZIPF_STEPS, ZIPF = 1500, 2400, 1.4
MEASURED_STEPS = (0, 200, 400, 700, 1200, ZIPF_STEPS)
CURVE = tuple(range(0, ZIPF_STEPS + 1, 100))
ROWS = 96  # inputs for each name, on which the coefficient is taken
# The localization lets weights vary by 0.01, so that neurons at zero stay without effect; nbeta makes the largest
# curvature count 250 times as much.
SETTINGS = Settings(
    "PARITY", lr=1.2e-6, nbeta=8e4, localization=1e4, batch_size=1, num_chains=2, num_draws=900, num_burnin=350
)
QUANTA = "additive quanta: Michaud et al., arXiv:2303.13506"
KINKS = (
    "Where names have no answer, weight decay puts a tenth of the inputs of neurons on the kink of the ReLU, where the "
    "loss rises to one side more than the curvatures say; with all eight answered the two agree"
)

CAPTION = (
    "Left: squared error of each of eight tasks while a network learns all of them (chance is 1; below 0.1 a task "
    "counts as learned), the most frequent first. Middle: the learning coefficient against the number of tasks learned "
    "so far, two networks (bars: 95% intervals). Right: the final coefficient of networks that learned so many tasks, "
    "and of controls that learned one task under so many names, sampled and by Laplace's method (hollow)."
)


def parts() -> list[Part]:
    """Networks followed through training, and the final ones by number of tasks and seed."""
    final = [
        Part(f"{kind} {number} {seed}", 15.0, partial(_final, kind == "names", number, seed))
        for seed in SEEDS
        for kind, numbers in (("tasks", NUMBERS), ("names", SAME_NUMBERS))
        for number in numbers
    ]
    return final + [Part(f"training {seed}", 60.0, partial(_training, seed)) for seed in WATCHED]


def coefficient(weights: Float[Tensor, " parameter"], rows: Float[Tensor, "row input"], seed: int) -> dict[str, Any]:
    """The learning coefficient of the network's own outputs on these inputs (curvature.py)."""
    own = outputs(weights[None], rows)[0]

    def distance(positions: Tensor, _: Tensor | None) -> Tensor:
        return (outputs(positions, rows) - own).square().mean(1) / 2

    trace = sample_function(
        distance, weights, settings=SETTINGS, seed=seed, kernel=leimkuhler_matthews, name="sparse parity"
    )
    return estimates.record(trace)


def _measured(place: Place, weights: Float[Tensor, " parameter"], asked: Tasks, seed: int) -> dict[str, Any]:
    rows, _ = evaluation(asked, ROWS, seed)
    values = curvature.eigenvalues(weights, rows)
    return {
        "errors": errors(weights, asked, seed),
        "laplace": round(laplace.coefficient(values, SETTINGS.nbeta, SETTINGS.localization), 3),
        "llc": coefficient(weights.to(place.device), rows.to(place.device), seed),
    }


def _training(seed: int, place: Place) -> dict[str, Any]:
    """Errors and coefficients of one network over training."""
    asked = tasks(8, seed, zipf=ZIPF)
    kept = train(asked, seed, {*CURVE, *MEASURED_STEPS})
    curve = [[step, *errors(kept[step], asked, seed)] for step in CURVE]
    return {"curve": curve, "at": {str(step): _measured(place, kept[step], asked, seed) for step in MEASURED_STEPS}}


def _final(same: bool, number: int, seed: int, place: Place) -> dict[str, Any]:
    """One network at the end of its training."""
    asked = tasks(number, seed, same=same)
    return _measured(place, train(asked, seed, {STEPS})[STEPS], asked, seed)


def final(measured: Measured, kind: str, curved: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Numbers and coefficients of the final networks of a kind, by number, then seed; one task is one name, too.

    curved: whether the coefficients are Laplace's.
    """
    names = [name.split() for name in measured]
    wanted = sorted((n for n in names if n[0] == kind or n[:2] == ["tasks", "1"]), key=lambda n: n[1:])
    found = [measured[" ".join(n)] for n in wanted]
    values = [one["laplace"] if curved else one["llc"]["value"] for one in found]
    return np.array([int(n[1]) for n in wanted]), np.array(values)


def rows(measured: Measured) -> list[Row]:
    """How much a task adds, whether later tasks add as much, and what names alone add."""
    number, value = final(measured, "tasks")
    names, of_names = final(measured, "names")
    each = slopes.line(number, value)
    name_share = slopes.times(slopes.line(names, of_names), 1 / each[0])
    every = [one for one in measured.values() if "llc" in one]
    ratio = intervals.mean([one["llc"]["value"] / one["laplace"] for one in every])
    later, up = _later(number, value), (0.0, np.inf)
    return [
        Row("LLC that a task adds", up, QUANTA, *each),
        Row("what tasks 5 to 8 add / what tasks 2 to 4 add", 1.0, QUANTA, *later, note=_why_less(measured)),
        Row("LLC that a task adds when it is learned in training", up, QUANTA, *_in_training(measured)),
        Row("sampled LLC / Laplace's value at the same nbeta", 1.0, "Laplace, curvature.py", *ratio, note=KINKS),
        Row("what a second name adds / what a task adds", 1.0, QUANTA, *name_share, control=True),
        Row("LLC that a task adds, numbers shuffled", up, QUANTA, *slopes.shuffled(number, value), control=True),
    ]


def _later(number: np.ndarray, value: np.ndarray) -> Interval:
    """The ratio of two slopes over the networks of each seed, in the order of `final`: from 4 to 8, and from 1 to 4."""
    at = {each: value[number == each] for each in (1, 4, 8)}
    return intervals.mean(((at[8] - at[4]) / 4 / ((at[4] - at[1]) / 3)).tolist())


def _why_less(measured: Measured) -> str:
    value, low, high = _later(*final(measured, "tasks", curved=True))
    return (
        f"By the curvatures alone it is {value:.2f} [{low:.2f}, {high:.2f}]: later tasks share neurons with earlier "
        "ones. The kinks lift networks with few tasks on top of that (see the line on Laplace's value)"
    )


def _in_training(measured: Measured) -> Interval:
    """The slope of the coefficient against the tasks learned so far, over the networks that were followed."""
    found = [at for name, one in measured.items() if name.startswith("training") for at in one["at"].values()]
    learned = [sum(error < LEARNED for error in at["errors"]) for at in found]
    return intervals.slope(learned, [at["llc"]["value"] for at in found])
