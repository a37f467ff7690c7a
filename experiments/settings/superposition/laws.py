"""The table of the setting superposition: theory's and the paper's values beside what was measured, and controls."""

import math
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import brentq

from experiments.settings import intervals
from experiments.settings.intervals import Interval
from experiments.settings.parts import Measured
from experiments.settings.superposition import phases
from experiments.settings.superposition.coefficients import NBETAS
from experiments.settings.superposition.critical import NAMED, POINTS, PUBLISHED_COEFFICIENT, PUBLISHED_LOSS
from experiments.settings.table import Row

PAPER = "Chen et al., arXiv:2310.06301"
NEAR = 0.03  # how far a plateau may lie from a critical point's loss, relative


class Plateau(NamedTuple):
    """A plateau of a seed, and the k-gon whose loss is nearest."""

    seed: int
    nearest: str
    off: float  # its loss over the k-gon's, less 1
    coefficient: float


def rows(measured: Measured) -> list[Row]:
    """Losses and coefficients of the critical points, plateaus of training, the transition of the posterior."""
    return [
        *_losses(),
        *_coefficients(measured["coefficients"]),
        *_plateaus(measured["training"]),
        *_transition(measured["posterior"]),
    ]


def _losses() -> list[Row]:
    """Computed, not sampled: to the digits that are published."""
    found = []
    for name, loss in PUBLISHED_LOSS.items():
        value = NAMED[name].loss
        found.append(Row(f"loss of the {name}-gon", (loss - 5e-6, loss + 5e-6), PAPER, value, value, value))
    return found


def _coefficients(measured: dict[str, dict[str, list[float]]]) -> list[Row]:
    """At the largest nbeta; the control is the count of a regular model, half of all 18 parameters."""
    found = []
    for point in POINTS:
        value, low, high, _ = measured[point.name][f"{NBETAS[-1]:g}"]
        name = f"coefficient of the {point.name}-gon, nbeta {NBETAS[-1]:g}"
        source = "half the directions in which the loss rises (superposition/critical.py)"
        source += f"; {PAPER}: {PUBLISHED_COEFFICIENT[point.name]:g}" if point.name in PUBLISHED_COEFFICIENT else ""
        found.append(Row(name, point.coefficient, source, value, low, high))
    value, low, high, _ = measured["5"][f"{NBETAS[-1]:g}"]
    source = "half the number of parameters, as for a regular model"
    return [*found, Row("the 5-gon's, as if the model were regular", 9, source, value, low, high, control=True)]


def plateaus(training: dict[str, Any]) -> list[Plateau]:
    """All plateaus with the k-gon that is nearest by its loss."""
    found = []
    for one in training["plateaus"]:
        nearest = min(POINTS, key=lambda point: abs(math.log(point.loss / one["loss"])))
        found.append(Plateau(one["seed"], nearest.name, one["loss"] / nearest.loss - 1, one["coefficient"][0]))
    return found


def _plateaus(training: dict[str, Any]) -> list[Row]:
    """Where the plateaus lie, and what becomes of the coefficient from one to the next."""
    found = plateaus(training)
    losses = sorted(point.loss for point in POINTS)
    between = [math.sqrt(one * other) for one, other in pairwise(losses)]
    beside = [any(abs(one["loss"] / loss - 1) < NEAR for loss in between) for one in training["plateaus"]]
    near = intervals.share(sum(abs(one.off) < NEAR for one in found), len(found))
    off = intervals.share(sum(beside), len(found))
    moves = [(a, b) for a, b in pairwise(found) if a.seed == b.seed and a.nearest != b.nearest]
    rising = intervals.share(sum(b.coefficient > a.coefficient for a, b in moves), len(moves))
    same = [one for one in found if one.nearest == "5+"]
    apart = [b.coefficient > a.coefficient for a, b in pairwise(same) if a.seed != b.seed]
    most = (0.8, 1.0)
    return [
        Row("share of SGD's plateaus at the loss of a k-gon, to 3%", most, PAPER, *near),
        Row("the same, at losses half-way between k-gons", most, PAPER, *off, control=True),
        Row("transitions whose coefficient rises as the loss falls", (0.5, 1.0), PAPER, *rising),
        Row(
            "the same, between different seeds' plateaus at the 5+-gon", (0.5, 1.0),
            "no transition: as often up as down", *intervals.share(sum(apart), len(apart)), control=True,
        ),
    ]  # fmt: skip


def crossing(posterior: dict[str, Any]) -> Interval:
    """The n at which 5 and 6 features represented are as likely, with its interval from the replicas."""
    shares = np.array(posterior["shares"])  # [n, replica, features]
    return intervals.mean([_crossing(posterior["n"], shares[:, replica]) for replica in range(shares.shape[1])])


def _crossing(ns: list[float], shares: np.ndarray) -> float:
    """By a line through the log odds against log n, from the last n where 5 is likelier to the next."""
    likelier = [i for i, n in enumerate(ns) if n > 50 and shares[i, 5] > shares[i, 6]]
    i = max(likelier)
    odds = [math.log(shares[j, 6] / shares[j, 5]) for j in (i, i + 1)]
    logs = [math.log(ns[j]) for j in (i, i + 1)]
    return math.exp(logs[0] - odds[0] * (logs[1] - logs[0]) / (odds[1] - odds[0]))


def corrected_crossing(posterior: dict[str, Any]) -> float:
    """Laplace's crossing with the next term of each free energy: c / n, c from the mean loss within the phase.

    dF / dn is the mean loss of a phase; where it differs from Laplace's by e / n, F differs by -e, as e goes as 1 / n.
    """
    ns = [n for n in posterior["n"] if 200 < n < 600]
    logs = np.log(ns)
    excess = [n * ((_loss(posterior, n, 6) - _slope(6, n)) - (_loss(posterior, n, 5) - _slope(5, n))) for n in ns]
    odds = np.array([phases.log_odds(n) for n in ns]) - excess
    return math.exp(float(brentq(lambda at: np.interp(at, logs, odds), logs[0], logs[-1])))


def _loss(posterior: dict[str, Any], n: float, corners: int) -> float:
    return posterior["loss"][posterior["n"].index(n)][corners]


def _slope(corners: int, n: float) -> float:
    """dF / dn by Laplace's method."""
    step = 0.01 * n
    return (phases.free_energy(corners, n + step) - phases.free_energy(corners, n - step)) / (2 * step)


def _transition(posterior: dict[str, Any]) -> list[Row]:
    """The crossing of the phases; the control leaves the coefficients out."""
    found, corrected = crossing(posterior), corrected_crossing(posterior)
    name = "n at which 5- and 6-gons are as likely"
    return [
        Row(
            name, phases.crossing_of_the_paper(), f"{PAPER}: 601; loss, coefficient and prior density alone", *found,
            note="terms of order 1 that this leaves out (the number of 6-gons, the width of each phase) are "
            "worth a factor of two here: see the next two rows",
        ),
        Row(
            name, phases.crossing(), "free energies with all terms of order 1, by Laplace's method", *found,
            note="at this n a 6-gon is not yet narrow: its softest direction has a standard deviation of 0.4",
        ),
        Row(
            name, (0.95 * corrected, 1.05 * corrected),
            "the same with the next term, 1 / n, from the mean loss within each phase; to 5%", *found,
            note="the mean losses come from the same draws",
        ),
        Row(
            "the same, were all coefficients alike", phases.crossing_of_the_paper(coefficients=False),
            "loss and prior density alone", *found, control=True,
        ),
    ]  # fmt: skip
