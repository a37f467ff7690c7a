"""A linear network of two layers, trained by gradient descent on a map of rank 3.

The network computes B A x with A and B [6, 6]; its loss over standard normal inputs is |B A - M|^2, M of rank 3 with
the singular values 3, 2 and 1. From a small start the gradient learns one singular value after the other
(arXiv:2106.15933): between them lies a saddle, the best map of the rank so far, at the loss

    sum of the squares of the singular values that are not learned yet
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

WIDTHS = (6, 6, 6)
SINGULAR = (3.0, 2.0, 1.0)
RANKS = range(len(SINGULAR))  # of the saddles
RATE = 0.002
SMALL, LARGE = 1e-6, 1.0  # sizes of the start
STEPS = {SMALL: 6000, LARGE: 3000}
EVERY = 10


class Run(NamedTuple):
    """A training run, at every record."""

    factors: list[tuple[Float[Tensor, "6 6"], Float[Tensor, "6 6"]]]  # A, then B
    loss: Float[Tensor, " record"]


def level(rank: int) -> float:
    """The loss of the best map of this rank."""
    return sum(value**2 for value in SINGULAR[rank:])


def train(size: float, seed: int, steps: int) -> Run:
    """Gradient descent with the loss over all inputs; entries at the start are normal with this standard deviation."""
    generator = torch.Generator().manual_seed(seed)

    def normal() -> Tensor:
        return torch.randn(WIDTHS[1], WIDTHS[0], generator=generator, dtype=torch.float64)

    left, right = torch.linalg.qr(normal())[0], torch.linalg.qr(normal())[0]
    count = len(SINGULAR)
    target = left[:, :count] @ torch.diag(torch.tensor(SINGULAR, dtype=torch.float64)) @ right[:, :count].T
    first, second = size * normal(), size * normal()
    factors, losses = [], []
    for step in range(steps + 1):
        error = second @ first - target
        if step % EVERY == 0:
            factors.append((first, second))
            losses.append(error.square().sum())
        first, second = first - 2 * RATE * second.T @ error, second - 2 * RATE * error @ first.T
    return Run(factors, torch.stack(losses))


def escape(size: float, seed: int) -> float:
    """The time (steps times rate) at which training from a start of this size has left the first saddle half."""
    loss = train(size, seed, 3500).loss
    halfway = (level(0) + level(1)) / 2
    return float((loss > halfway).sum()) * EVERY * RATE


def of_rank(factors: tuple[Tensor, Tensor], rank: int) -> tuple[Tensor, Tensor]:
    """The nearest factors of this rank."""

    def cut(factor: Tensor) -> Tensor:
        left, values, right = torch.linalg.svd(factor)
        return left[:, :rank] @ torch.diag(values[:rank]) @ right[:rank]

    return cut(factors[0]), cut(factors[1])


def against_itself(factors: tuple[Tensor, Tensor]):  # type: ignore[no-untyped-def]
    """The loss of other weights against what these compute, for `llc.sample_function`: they are a minimum of it, though
    a saddle of the loss in training.
    """
    target = factors[1] @ factors[0]

    def loss(positions: Tensor, batch: Tensor | None) -> Tensor:
        first, second = positions.unflatten(1, (2, *target.shape)).unbind(1)
        return (second @ first - target).square().sum((1, 2))

    return loss
