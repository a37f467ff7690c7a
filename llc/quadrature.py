"""Exact values in one or two dimensions by quadrature, for any loss: of the posterior, and of discretised SGLD.

They are values at the nbeta and localization (and step) of an estimate, which must reach them. How far they are from
the asymptotic coefficient is another question: at a singular point lambda(nbeta) misses it by about
(m - 1) / log nbeta.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ablations.running import as_in_workers
from llc.settings import Settings

Function = Callable[[Tensor, Tensor | None], Tensor]  # as in chains.sample_function, without data: (positions, None)


@as_in_workers()
def posterior(loss: Function, center: Float[Tensor, " dim"], settings: Settings, half_width: float) -> float:
    """nbeta E[L(w) - L(w*)] under exp(-nbeta L - (localization / 2) |w - w*|^2), on a square around w* = center.

    Raises ValueError where the square cuts the density off, or the grid cannot resolve it.
    """
    finest = 4001 if len(center) == 1 else 1601
    fine, coarse = (_posterior(loss, center, settings, half_width, count) for count in (finest, finest * 2 // 3))
    if abs(fine - coarse) > 1e-5 * abs(fine):
        raise ValueError(f"nbeta={settings.nbeta:g}: the grid is too coarse ({coarse:g}, then {fine:g}); use MALA")
    return fine


def _posterior(loss: Function, center: Tensor, settings: Settings, half_width: float, count: int) -> float:
    """`posterior` on a grid of `count` points a side."""
    points, _ = _grid(center, half_width, count)
    rise = (loss(points, None) - loss(center[None], None)).double()
    exponent = -settings.nbeta * rise - settings.localization / 2 * (points - center).square().sum(1)
    weight = (exponent - exponent.max()).exp()
    _check_edge(weight, points, center, half_width)
    return float(settings.nbeta * (rise * weight).sum() / weight.sum())


@as_in_workers()
def stationary(loss: Function, center: Float[Tensor, " dim"], settings: Settings, half_width: float) -> float:
    """nbeta E[L(w) - L(w*)] under the stationary law of SGLD with this lr, full gradients: the step's bias included.

    The law is a fixed point of w -> w - (lr / 2) U(w) + sqrt(lr) N(0, 1), iterated on a grid finer than the noise,
    where the trapezoid rule is exact to rounding. Raises ValueError where the square cuts the law off.
    """
    count = 1 + 2 * math.ceil(half_width / (0.7 * math.sqrt(settings.lr)))
    points, nodes = _grid(center, half_width, count)
    points.requires_grad_()
    rise = loss(points, None) - loss(center[None], None).detach()
    (gradient,) = torch.autograd.grad(rise.sum(), points)
    drift = settings.nbeta * gradient + settings.localization * (points.detach() - center)
    mean = points.detach() - settings.lr / 2 * drift
    # one factor per coordinate: probability of each node after a step from each point
    steps = []
    for axis in range(len(center)):
        offset = nodes[axis][:, None] - mean[:, axis][None]
        steps.append((-(offset**2) / (2 * settings.lr)).exp().double())
    density = torch.full((len(points),), 1 / len(points), dtype=torch.float64)
    for _ in range(100_000):
        moved = steps[0] * density
        moved = moved.sum(1) if len(steps) == 1 else (moved @ steps[1].T).flatten()
        moved /= moved.sum()
        change = float((moved - density).abs().sum())
        density = moved
        if change < 1e-12:
            break
    _check_edge(density, points.detach(), center, half_width)
    return float(settings.nbeta * (rise.detach().double() * density).sum())


def _grid(center: Tensor, half_width: float, count: int) -> tuple[Tensor, list[Tensor]]:
    """Points [point, dim] of a square around the center, and the values of each coordinate."""
    if len(center) not in (1, 2):
        raise ValueError(f"{len(center)} dimensions: quadrature is for one or two; use MALA for more")
    nodes = [value + torch.linspace(-half_width, half_width, count, dtype=torch.float64) for value in center.double()]
    return torch.cartesian_prod(*nodes).reshape(-1, len(center)), nodes


def _check_edge(weight: Tensor, points: Tensor, center: Tensor, half_width: float) -> None:
    """Raises ValueError for a density that is not negligible at the edge of the square."""
    at_edge = ((points - center).abs() > 0.999 * half_width).any(1)
    share = float(weight[at_edge].max() / weight.max())
    if not np.isfinite(share) or share > 1e-9:
        raise ValueError(f"half_width={half_width}: the density there is {share:.1g} of its maximum; take a wider one")
