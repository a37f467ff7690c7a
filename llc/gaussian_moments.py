"""What a loss does under plain Gaussian noise on the parameters: the mean of its rise, and its variance and third
cumulant, from draws that do not depend on each other.

With D normal with standard deviation s in each direction, f(D) = L(w* + D) - L(w*), and g and H its gradient and
Hessian there, integration by parts along Gaussian interpolations (Nourdin and Peccati, J. Funct. Anal. 258, 2010,
theorem 4.3) gives

    E f                    mean over pairs +-D
    Var f    = s^2 E[g(A) . g(M)]
    K3 f / 2 = s^4 E[g(A) . H(M) g(C) + u g(A) . H(C) g(M)]

where M = v A + sqrt(1 - v^2) A', C = u M + sqrt(1 - u^2) M', all four normal, u and v uniform on (0, 1). Each factor is
taken on a row of data of its own, so that the products are free of the noise of rows, which is a hundred times the
variance of f: the variance of draws of f, or their covariance on two rows, would be lost in it.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from llc.kernel import Evaluate

STEP = 0.02  # of a draw's length: how far apart the gradients are whose difference is a Hessian's product
OnRow = tuple[float, Mapping[str, Evaluate]]  # one row of data: the loss at the center, and each restriction's


class Gaussian(NamedTuple):
    """Where draws are made, and from which stream."""

    center: Float[Tensor, " dim"]
    scale: float  # s
    stream: torch.Generator

    def normals(self, count: int) -> Float[Tensor, "draw dim"]:
        """Standard normals."""
        drawn = torch.randn(count, len(self.center), generator=self.stream, dtype=self.center.dtype)
        return drawn.to(self.center.device)

    def uniform(self) -> float:
        """A number between 0 and 1."""
        return torch.rand((), generator=self.stream, dtype=torch.float64).item()


class Cumulants(NamedTuple):
    """Independent values of Var f and of K3 f / 2, in nats^2 and nats^3."""

    second: list[float]
    third: list[float]


def rises(rows: Iterable[OnRow], draws: Mapping[str, Gaussian]) -> dict[str, list[float]]:
    """f in nats at a pair +-D of its own on each row, for each restriction."""
    found: dict[str, list[float]] = {name: [] for name in draws}
    for center_loss, evaluates in rows:
        for name, evaluate in evaluates.items():
            shift = draws[name].scale * draws[name].normals(1)
            losses, _ = evaluate(draws[name].center + torch.cat([shift, -shift]), gradient=False)
            found[name].append(losses.double().mean().item() - center_loss)
    return found


def cumulants(rows: Iterable[OnRow], draws: Mapping[str, Gaussian]) -> dict[str, Cumulants]:
    """A value of Var f and of K3 f / 2 for every three rows, for each restriction; the terms of the latter in turn."""
    found = {name: Cumulants([], []) for name in draws}
    one_by_one = iter(rows)
    for number, three in enumerate(zip(one_by_one, one_by_one, one_by_one, strict=True)):
        for name, gaussian in draws.items():
            second, third = _products([evaluates[name] for _, evaluates in three], gaussian, bool(number % 2))
            found[name].second.append(second)
            found[name].third.append(third)
    return found


def _products(three: Sequence[Evaluate], gaussian: Gaussian, middle: bool) -> tuple[float, float]:
    """One value of Var f and of K3 f / 2 from three rows: twice the term with H(M), or twice that with H(C)."""
    scale, v, u = gaussian.scale, gaussian.uniform(), gaussian.uniform()
    first, second, third = gaussian.normals(3)
    second = v * first + math.sqrt(1 - v * v) * second
    third = u * second + math.sqrt(1 - u * u) * third
    at_first, at_second = (_gradient(three[0], gaussian, first), _gradient(three[1], gaussian, second))
    if middle:
        product = _along(three[1], gaussian, second, _gradient(three[2], gaussian, third))
    else:
        product = u * _along(three[2], gaussian, third, at_second)
    return scale**2 * (at_first @ at_second).item(), 2 * scale**4 * (at_first @ product).item()


def _gradient(evaluate: Evaluate, gaussian: Gaussian, draw: Float[Tensor, " dim"]) -> Float[Tensor, " dim"]:
    _, gradients = evaluate((gaussian.center + gaussian.scale * draw)[None])
    return gradients[0].double()


def _along(
    evaluate: Evaluate, gaussian: Gaussian, draw: Float[Tensor, " dim"], direction: Float[Tensor, " dim"]
) -> Float[Tensor, " dim"]:
    """The Hessian's product with a direction, by central differences of gradients; 0 where the direction is."""
    length = direction.norm()
    if length == 0:
        return direction
    step = STEP * math.sqrt(len(draw)) * gaussian.scale / length
    shift = (step * direction).to(draw.dtype)
    _, gradients = evaluate(gaussian.center + gaussian.scale * draw + torch.stack([shift, -shift]))
    ahead, behind = gradients.double()
    return (ahead - behind) / (2 * step)
