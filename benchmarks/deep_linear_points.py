"""Points of deep linear networks whose learning coefficient is known.

A network with widths H_0, ..., H_L computes W_L ... W_1 x; its population loss for standard normal inputs is
|W_L ... W_1 - M|^2. A hidden feature lives from node s to node t of the network; how many live on each interval
decides the ranks of all partial products, hence the stratum of the fibre. Factors are partial matchings of features,
seen through a change of basis at each node, so their nonzero singular values stay within a factor of 4.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from llc.closed_form import deep_linear

Interval = tuple[int, int]


class Point(NamedTuple):
    """Factors [out, in], first layer first; float64."""

    widths: tuple[int, ...]
    rank: int
    factors: list[Tensor]

    @property
    def product(self) -> Tensor:
        return _multiply(self.factors)

    @property
    def flat(self) -> Tensor:
        return torch.cat([factor.flatten() for factor in self.factors])


def loss_at(point: Point):
    """(positions [chain, dim], batch [row, input] or None) -> loss [chain]: of the population, or of these inputs."""
    target, shapes = point.product, [factor.shape for factor in point.factors]

    def loss(positions: Tensor, batch: Tensor | None) -> Tensor:
        parts = positions.split([shape.numel() for shape in shapes], dim=1)
        maps = [part.view(-1, *shape) for part, shape in zip(parts, shapes, strict=True)]
        product = maps[0]
        for factor in maps[1:]:
            product = factor @ product
        off = product - target
        if batch is not None:
            off = off @ (batch.T / len(batch) ** 0.5)
        return off.square().sum((1, 2))

    return loss


def generic(widths: Sequence[int], rank: int, seed: int) -> Point:
    """A generic point of the top-dimensional stratum of the maps of this rank."""
    return _point(widths, rank, _top_intervals(widths, rank), seed)


def deepest(widths: Sequence[int], rank: int, seed: int) -> Point:
    """A point where every factor has exactly this rank."""
    lonely = Counter({(k, k): width - rank for k, width in enumerate(widths)})
    return _point(widths, rank, lonely, seed)


def _point(widths: Sequence[int], rank: int, intervals: Counter[Interval], seed: int) -> Point:
    generator = torch.Generator().manual_seed(seed)
    depth = len(widths) - 1
    features = sorted((intervals + Counter({(0, depth): rank})).elements())
    at_node = [[f for f, (s, t) in enumerate(features) if s <= k <= t] for k in range(depth + 1)]
    assert [len(found) for found in at_node] == list(widths)
    bases = [_basis(width, generator) for width in widths]
    factors = []
    for k in range(depth):
        matching = torch.zeros(widths[k + 1], widths[k], dtype=torch.float64)
        for feature in set(at_node[k]) & set(at_node[k + 1]):
            size = 0.8 + 0.45 * torch.rand((), generator=generator, dtype=torch.float64)
            matching[at_node[k + 1].index(feature), at_node[k].index(feature)] = size
        factors.append(bases[k + 1] @ torch.linalg.solve(bases[k].T, matching.T).T)
    return Point(tuple(widths), rank, factors)


def _basis(width: int, generator: torch.Generator) -> Tensor:
    """A random change of basis with singular values in [0.8, 1.25]."""
    left, right = (
        torch.linalg.qr(torch.randn(width, width, generator=generator, dtype=torch.float64))[0] for _ in range(2)
    )
    return left * torch.empty(width, dtype=torch.float64).uniform_(0.9, 1.12, generator=generator) @ right


def _top_intervals(widths: Sequence[int], rank: int) -> Counter[Interval]:
    """Features besides those that make the map, joined up until no more can be; of many tries the least Jacobian rank.

    An end at node t and a start at t + 1 can be joined unless that makes one feature of the whole length, which would
    change the map. Where all that can be is joined, the stratum is a component of the fibre; the top-dimensional one
    has the least rank.
    """
    drawn, best = np.random.default_rng(0), (np.inf, Counter[Interval]())
    for _ in range(300):
        found = Counter({(k, k): width - rank for k, width in enumerate(widths)})
        while joins := _joins(found, len(widths) - 1):
            first, second = joins[drawn.integers(len(joins))]
            count = int(drawn.integers(1, min(found[first], found[second]) + 1))
            found.subtract({first: count, second: count})
            found[first[0], second[1]] += count
        best = min(best, (_staircase(found, rank, len(widths) - 1), +found), key=lambda one: one[0])
    return best[1]


def _joins(found: Counter[Interval], depth: int) -> list[tuple[Interval, Interval]]:
    there = [interval for interval, count in sorted(found.items()) if count]
    return [(one, two) for one in there for two in there if one[1] + 1 == two[0] and (one[0] > 0 or two[1] < depth)]


def _staircase(found: Counter[Interval], rank: int, depth: int) -> int:
    """Rank of the Jacobian from how many features reach the output, and come from the input, at each layer."""
    layers = range(1, depth + 1)
    above = [rank + sum(n for (start, end), n in found.items() if end == depth and start <= k) for k in layers]
    below = [rank + sum(n for (start, end), n in found.items() if start == 0 and end >= k - 1) for k in layers]
    return _area(above, below)


def _area(above: Sequence[int], below: Sequence[int]) -> int:
    return sum((a - before) * b for a, before, b in zip(above, [0, *above[:-1]], below, strict=True))


def jacobian_rank(point: Point) -> int:
    """Rank of the derivative of the product, exact at any size.

    The tangent space is the sum over layers of A_l (x) B_l, A_l the column space of the factors above layer l, B_l the
    row space of those below. The A_l grow with l and the B_l shrink, so dimensions add up as under a staircase.
    """
    above = [_rank(point.factors[layer + 1 :], point.widths[-1]) for layer in range(len(point.factors))]
    below = [_rank(point.factors[:layer], point.widths[0]) for layer in range(len(point.factors))]
    return _area(above, below)


def _multiply(factors: list[Tensor]) -> Tensor:
    product = factors[0]
    for factor in factors[1:]:
        product = factor @ product
    return product


def _rank(factors: list[Tensor], identity: int) -> int:
    """Rank of a product; refuses one whose singular values do not say it clearly."""
    if not factors:
        return identity
    product = _multiply(factors)
    values = torch.linalg.svdvals(product).numpy()
    if values[0] < 1e-9:
        return 0
    values = values / values[0]
    if ((values > 1e-9) & (values < 1e-3)).any():
        raise ValueError("singular point: the rank is not clear")
    return int((values > 1e-3).sum())


def curvature_range(point: Point) -> tuple[float, float]:
    """Largest curvature of the population loss, and a lower bound of the smallest that is not zero."""
    highest, lowest = 0.0, np.inf
    vector = torch.randn(len(point.flat), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for _ in range(60):
        vector = _hessian_product(point, vector / vector.norm())
        highest = float(vector.norm())
    for layer in range(len(point.factors)):
        above, below = _values(point.factors[layer + 1 :]), _values(point.factors[:layer])
        if len(above) and len(below):  # the layer moves the product
            lowest = min(lowest, 2.0 * float(above.min() * below.min()) ** 2)
    return highest, lowest


def _values(factors: list[Tensor]) -> Tensor:
    """Singular values of a product that are not zero; of nothing, 1."""
    if not factors:
        return torch.ones(1, dtype=torch.float64)
    values = torch.linalg.svdvals(_multiply(factors))
    return values[values > 1e-3]


def _hessian_product(point: Point, vector: Tensor) -> Tensor:
    """At a minimum the Hessian is 2 J^T J."""
    loss, center = loss_at(point), point.flat

    def gradient(position: Tensor) -> Tensor:
        position = position.detach().requires_grad_()
        return torch.autograd.grad(loss(position[None], None).sum(), position)[0]

    return (gradient(center + 1e-4 * vector) - gradient(center - 1e-4 * vector)) / 2e-4


def is_generic(point: Point) -> bool:
    """Whether the local coefficient is half the Jacobian's rank and equals Aoyagi's formula."""
    return jacobian_rank(point) == 2 * deep_linear(point.widths, point.rank).value


def descended(widths: Sequence[int], rank: int, seed: int) -> Point:
    """Where gradient descent from a random start ends on a random map of this rank, polished by Gauss-Newton steps."""
    generator = torch.Generator().manual_seed(1000 + seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    left, right = (torch.linalg.qr(normal(width, rank))[0] for width in (widths[-1], widths[0]))
    target = left * torch.linspace(0.5, 1, rank, dtype=torch.float64) @ right.T
    factors = [normal(after, before) * (0.6 / before**0.5) for before, after in pairwise(widths)]
    shapes = [factor.shape for factor in factors]

    flat = torch.cat([factor.flatten() for factor in factors]).requires_grad_()
    optimizer = torch.optim.Adam([flat], lr=3e-3)
    for _ in range(6000):
        optimizer.zero_grad()
        (_multiply(_parts(flat, shapes)) - target).square().sum().backward()
        optimizer.step()
    found = Point(tuple(widths), rank, _parts(flat.detach(), shapes))
    for _ in range(6):
        step = torch.linalg.pinv(jacobian(found), rtol=1e-6) @ (found.product - target).flatten()
        found = found._replace(factors=_parts(found.flat - step, shapes))
    return found


def _parts(flat: Tensor, shapes: list[torch.Size]) -> list[Tensor]:
    return [p.view(shape) for p, shape in zip(flat.split([s.numel() for s in shapes]), shapes, strict=True)]


def jacobian(point: Point) -> Tensor:
    """Of the product in all parameters [outputs * inputs, parameters]; for small networks."""
    shapes = [factor.shape for factor in point.factors]
    return torch.autograd.functional.jacobian(lambda flat: _multiply(_parts(flat, shapes)).flatten(), point.flat)


def smallest_curvature(point: Point) -> float:
    """Of the population loss, besides zero; for small networks."""
    values = torch.linalg.svdvals(jacobian(point))
    return 2 * float(values[jacobian_rank(point) - 1]) ** 2
