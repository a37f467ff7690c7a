"""The critical points of the toy model that training visits: k-gons, with their loss and learning coefficient.

In a k-gon k columns of W are the corners of a regular k-gon of radius l with the bias b each. The columns of the other
features are zero; such a feature is ignored (a negative bias, written -), or always guessed at by its best constant,
1 / 12 (written +). Chen et al., arXiv:2310.06301, find that these are critical points, and give for six features the
radii and biases, losses (0.06874 and 0.04819 for the 5- and the 6-gon) and coefficients (7, 8.5 and 8.5 for 5, 5+ and
6).

Where these coefficients come from: there are 18 parameters. Rotations of the plane leave the loss as it is, 1 free
direction. The bias of a feature that is ignored is free, and at the 5-gon so is its column, since all biases are
negative there: 3 free directions for each ignored feature. Across the others the loss is a positive quadratic function
(its Hessian is in the tests), so that the coefficient is half their number. At the 4-gons neighbours are orthogonal and
b = 0, exactly where a ReLU turns. There the loss has a second derivative on each side only, but it is homogeneous of
degree two in small changes and positive: four angles that sum to a full turn cannot all be more than a right angle, and
every small column of an ignored feature turns some output on. That gives the volume of low loss the same exponent,
half the number of directions, of which only an ignored feature's bias is left out.
"""

import math
from functools import cache
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from experiments.settings.superposition.loss import FEATURES, HIDDEN, PARAMETERS, population

GUESS = 1 / (2 * FEATURES)  # of a feature that is zero five times in six, and half on average otherwise
IGNORED = -1.0  # any negative bias is as good


class Critical(NamedTuple):
    """A k-gon."""

    name: str  # as in the paper: the number of corners, then + for each feature that is guessed at
    corners: int
    guessed: int

    @property
    def ignored(self) -> int:
        return FEATURES - self.corners - self.guessed

    @property
    def coefficient(self) -> float:
        """The local learning coefficient: half the directions in which the loss rises."""
        free = 1 if self.corners == 4 else 1 + HIDDEN  # of an ignored feature: its bias, and its column
        return (PARAMETERS - 1 - free * self.ignored) / 2

    @property
    def point(self) -> Float[Tensor, "18"]:
        radius, bias = shape(self.corners)
        return _place(self.corners, radius, bias, self.guessed)

    @property
    def loss(self) -> float:
        return float(population(self.point[None])[0])


POINTS = tuple(
    Critical(f"{corners}{'+' * guessed}", corners, guessed)
    for corners in (4, 5, 6)
    for guessed in range(FEATURES - corners + 1)
)
NAMED = {point.name: point for point in POINTS}
PUBLISHED_LOSS = {"5": 0.06874, "6": 0.04819}  # arXiv:2310.06301, to five digits
PUBLISHED_COEFFICIENT = {"5": 7.0, "5+": 8.5, "6": 8.5}


@cache
def shape(corners: int) -> tuple[float, float]:
    """Radius and bias at which the loss of a k-gon is least, by Newton's method; 1 and 0 for the 4-gon, exactly."""
    if corners == 4:
        return 1.0, 0.0
    at = torch.tensor([1.2, -0.1 * (corners - 2)], dtype=torch.float64)

    def loss(pair: Tensor) -> Tensor:
        return population(_place(corners, pair[0], pair[1], 0)[None])[0]

    for _ in range(30):
        gradient, hessian = torch.func.grad(loss)(at), torch.func.hessian(loss)(at)
        at = at - torch.linalg.solve(hessian, gradient)
    return float(at[0]), float(at[1])


def _place(corners: int, radius: Tensor | float, bias: Tensor | float, guessed: int) -> Float[Tensor, "18"]:
    """The parameters of a k-gon."""
    angles = 2 * math.pi * torch.arange(corners, dtype=torch.float64) / corners
    columns = torch.stack([angles.cos(), angles.sin()]) * radius
    rest = torch.zeros(HIDDEN, FEATURES - corners, dtype=torch.float64)
    biases = torch.full((FEATURES - corners,), IGNORED, dtype=torch.float64)
    biases[:guessed] = GUESS
    own = torch.ones(corners, dtype=torch.float64) * bias
    return torch.cat([torch.cat([columns, rest], 1).flatten(), own, biases])
