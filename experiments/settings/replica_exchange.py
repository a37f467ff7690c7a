"""Replica exchange: one posterior at many values of nbeta at once, whose chains trade places.

Level k samples exp(-nbeta_k L(w) - (localization / 2) |w|^2) by steps of the Metropolis-adjusted Langevin algorithm
(llc/mala.py); neighbouring levels trade their states with probability min(1, exp((nbeta_k - nbeta_j) (L_k - L_j))).
All laws are exact. Chains that are stuck between phases at large nbeta are freed at small nbeta, so that the shares of
the phases are those of the posterior. Hukushima and Nemoto, J. Phys. Soc. Jpn. 65 (1996).
"""

from collections.abc import Callable, Iterator

import torch
from jaxtyping import Float
from torch import Tensor

TARGET = 0.6  # acceptance at which Langevin proposals are about the most efficient (Roberts and Rosenthal, 1998)
Evaluate = Callable[[Float[Tensor, "chain dim"]], tuple[Float[Tensor, " chain"], Float[Tensor, "chain dim"]]]


def draws(
    evaluate: Evaluate,
    start: Float[Tensor, "replica level dim"],
    nbetas: Float[Tensor, " level"],
    *,
    localization: float,
    steps: int,
    burnin: int,
    seed: int,
) -> Iterator[tuple[Float[Tensor, "replica level dim"], Float[Tensor, "replica level"]]]:
    """The states of all levels after each step that follows the burn-in, and their losses.

    evaluate: the loss, and its gradient, at positions. Replicas are independent of each other: errors come from them.
    Step sizes are tuned level by level during the burn-in, and then held.
    """
    generator = torch.Generator().manual_seed(seed)
    position, size = start, start.shape
    beta = nbetas.to(start.dtype)[None, :, None]
    loss, gradient = _at(evaluate, position)
    step = 0.5 / (nbetas + localization)
    for number in range(steps):
        noise = torch.randn(size, generator=generator, dtype=start.dtype)
        pull = beta * gradient + localization * position
        scale = step[None, :, None]
        proposed = position - scale / 2 * pull + scale.sqrt() * noise
        new_loss, new_gradient = _at(evaluate, proposed)
        back = proposed - scale / 2 * (beta * new_gradient + localization * proposed)
        ratio = -nbetas * (new_loss - loss) - localization / 2 * (proposed.square() - position.square()).sum(2)
        ratio = ratio - ((position - back).square() / (2 * scale)).sum(2) + noise.square().sum(2) / 2
        taken = torch.rand(ratio.shape, generator=generator, dtype=start.dtype).log() < ratio
        position = torch.where(taken[:, :, None], proposed, position)
        gradient = torch.where(taken[:, :, None], new_gradient, gradient)
        loss = torch.where(taken, new_loss, loss)
        if number < burnin:
            step = step * torch.exp(0.05 * (ratio.clamp(max=0).exp().mean(0) - TARGET))
        order = _trade(loss, nbetas, number % 2, generator)
        position, gradient, loss = (_in_order(value, order) for value in (position, gradient, loss))
        if number >= burnin:
            yield position, loss


def _at(evaluate: Evaluate, position: Tensor) -> tuple[Tensor, Tensor]:
    """Loss [replica, level] and gradient [replica, level, dim]."""
    loss, gradient = evaluate(position.flatten(0, 1))
    return loss.view(position.shape[:2]), gradient.view(position.shape)


def _trade(loss: Tensor, nbetas: Tensor, first: int, generator: torch.Generator) -> Tensor:
    """Which level's state each level has after pairs (first, first + 1), (first + 2, ...) have been offered a trade."""
    order = torch.arange(len(nbetas)).repeat(len(loss), 1)
    low = torch.arange(len(nbetas) - 1)[first::2]
    ratio = (nbetas[low + 1] - nbetas[low]) * (loss[:, low + 1] - loss[:, low])
    traded = torch.rand(ratio.shape, generator=generator, dtype=loss.dtype).log() < ratio
    order[:, low] += traded.long()
    order[:, low + 1] -= traded.long()
    return order


def _in_order(value: Tensor, order: Tensor) -> Tensor:
    """Levels of each replica in this order."""
    return value[torch.arange(len(order))[:, None], order]
