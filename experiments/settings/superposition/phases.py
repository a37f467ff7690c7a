"""The phases of the toy model's posterior: which k-gon a draw belongs to, and what theory says of their free energies.

The posterior is exp(-n L(w)) times a standard normal prior, with the population loss L in place of the loss of n
samples. The free energy of a phase is -log of its part of the integral. To leading order it is

    n L + coefficient log n

and arXiv:2310.06301 compares phases by this and the prior's density at the critical points. Here all of the constant is
computed as well, so that nothing is fitted: the Gaussian integral across the directions in which the loss rises
(Laplace's method), the length of the circle of rotations, the number of ways to put the features at the corners, the
prior there; and for a feature that is not represented the integral over its column and bias, in which the loss of the
others' outputs is not quadratic.
"""

import math
from functools import cache

import torch
from jaxtyping import Float, Int
from scipy.optimize import brentq
from torch import Tensor

from experiments.settings.superposition.critical import NAMED, Critical, shape
from experiments.settings.superposition.loss import FEATURES, population, split, with_gradient

SEEN = 0.5  # a feature is represented where its own output at mu = 1 is larger; 1.1 at a 6-gon, 0.08 where guessed at


def corners(positions: Float[Tensor, "chain 18"]) -> Int[Tensor, " chain"]:
    """How many features are represented."""
    weights, biases = split(positions)
    return (weights.square().sum(1) + biases > SEEN).sum(1)


def free_energy(corners: int, n: float) -> float:
    """F(n) of the phase of the 5- or of the 6-gons, the features that are not represented ignored or guessed at."""
    if corners not in (5, 6):
        raise ValueError(f"{corners}-gon: its loss has no second derivative, which Laplace's method needs")
    point = NAMED[str(corners)]
    radius, bias = shape(corners)
    moving = 3 * corners - 1
    copies = math.comb(FEATURES, corners) * math.factorial(corners - 1)  # orders up to a rotation
    circle = 2 * math.pi * radius * math.sqrt(corners)
    prior = -3 * corners / 2 * math.log(2 * math.pi) - corners * (radius**2 + bias**2) / 2
    gaussian = moving / 2 * math.log(2 * math.pi / n) - _log_determinant(point, moving) / 2
    others = point.ignored * math.log(_integral_of_one_more(point, n)) if point.ignored else 0.0
    return n * point.loss - (math.log(copies * circle) + prior + gaussian + others)


def log_odds(n: float) -> float:
    """log P(6-gon) / P(5-gon)."""
    return free_energy(5, n) - free_energy(6, n)


def crossing() -> float:
    """The n at which the 5- and the 6-gon are as likely."""
    return float(brentq(log_odds, 50, 5000))


def crossing_of_the_paper(lower: str = "5", upper: str = "6", *, coefficients: bool = True) -> float:
    """The same from the loss, the coefficient and the prior's density alone; without coefficients, as a control."""
    one, other = NAMED[lower], NAMED[upper]
    risen = (other.coefficient - one.coefficient) if coefficients else 0.0
    norms = [point.corners * sum(value**2 for value in shape(point.corners)) for point in (one, other)]

    def difference(n: float) -> float:
        return n * (other.loss - one.loss) + risen * math.log(n) + (norms[1] - norms[0]) / 2

    return float(brentq(difference, 100, 5000)) if coefficients else float(brentq(difference, 1, 5000))


@cache
def _log_determinant(point: Critical, directions: int) -> float:
    """log det of the Hessian across the directions in which the loss rises."""

    def loss(own: Tensor) -> Tensor:
        return population(own[None])[0]

    values = torch.linalg.eigvalsh(torch.autograd.functional.hessian(loss, point.point))
    return float(values[-directions:].log().sum())


def _integral_of_one_more(point: Critical, n: float) -> float:
    """The mean of exp(-n (L - L of the point)) over the prior of the last feature's column and bias, the rest held.

    As wide as the column may be while the feature is not represented; polar, by the midpoint rule.
    """
    lengths = 1.6 * (torch.arange(48, dtype=torch.float64) + 0.5) / 48
    angles = 2 * math.pi / point.corners * (torch.arange(4, dtype=torch.float64) + 0.5) / 4
    biases = -4 + 5 * (torch.arange(100, dtype=torch.float64) + 0.5) / 100
    length, angle, bias = torch.cartesian_prod(lengths, angles, biases).T
    positions = point.point.repeat(len(length), 1)
    positions[:, FEATURES - 1], positions[:, 2 * FEATURES - 1] = length * angle.cos(), length * angle.sin()
    positions[:, -1] = bias
    weight = length * (-(length**2 + bias**2) / 2).exp() / math.sqrt(2 * math.pi)
    cell = (lengths[1] - lengths[0]) * (biases[1] - biases[0]) / len(angles)
    low = (-n * (with_gradient(positions)[0] - point.loss)).exp()
    return float((weight * low)[length**2 + bias < SEEN].sum() * cell)
