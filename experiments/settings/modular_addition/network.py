"""The network, the pairs that it is trained on, and its training.

One hidden layer of squares reads two numbers as one-hot vectors, and gives logits over all residues (the architecture
of Gromov, arXiv:2301.02679, trained with cross-entropy):

    logits(a, b) = W (U[a] + V[b])^2,    U, V, W [modulus, neuron]

Trained is the mean cross-entropy plus (DECAY / 2) |w|^2, on a share of all pairs, all at once, by Adam. Scaling a
neuron's three columns changes nothing but the norm, so weight decay prefers few neurons, and takes the others to zero
(a neuron costs what it contributes to the power 2/3).
"""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn.functional import cross_entropy

from experiments.settings.training import by_adam

NEURONS = 64
SHARE = 0.8  # of the pairs, that are trained on
DECAY = 1e-4
LR = 3e-3
STEPS = 2500
ALIVE = 1e-2  # a neuron is pruned whose contribution is this much smaller than the largest one's

Weights = Float[Tensor, "part modulus neuron"]  # U, V and W


class Pairs(NamedTuple):
    """Numbers a and b with the label of each pair: (a + b) mod the modulus, or a random one."""

    trained: Int64[Tensor, "row 3"]  # a, b, label
    held_out: Int64[Tensor, "other 3"]


class Quality(NamedTuple):
    """How well a network does."""

    loss: float  # cross-entropy on the pairs trained on, in nats
    accuracy: float
    held_out_loss: float
    held_out_accuracy: float


def pairs(modulus: int, seed: int, *, random: bool = False, share: float = SHARE) -> Pairs:
    """All pairs, split at random by the seed; random: whether labels are drawn instead of computed."""
    generator = torch.Generator().manual_seed(seed)
    both = torch.cartesian_prod(torch.arange(modulus), torch.arange(modulus))
    label = both.sum(1) % modulus
    if random:
        label = torch.randint(modulus, label.shape, generator=generator)
    order = torch.randperm(len(both), generator=generator)
    rows = torch.cat([both, label[:, None]], 1)[order]
    return Pairs(*rows.split([int(share * len(rows)), len(rows) - int(share * len(rows))]))


def logits(weights: Float[Tensor, "chain part modulus neuron"], rows: Int64[Tensor, "row 3"]) -> Tensor:
    """Logits [chain, row, modulus] of several networks."""
    first, second, out = weights.unbind(1)
    return (first[:, rows[:, 0]] + second[:, rows[:, 1]]).square() @ out.mT


def train(modulus: int, data: Pairs, seed: int, steps: Iterable[int]) -> dict[int, Weights]:
    """The weights after these numbers of updates, the last of them the end of training."""
    generator = torch.Generator().manual_seed(1000 + seed)
    weights = torch.randn(1, 3, modulus, NEURONS, generator=generator) / NEURONS**0.5

    def loss(weights: Tensor) -> Tensor:
        error = cross_entropy(logits(weights, data.trained)[0], data.trained[:, 2])
        return error + DECAY / 2 * weights.square().sum()

    return {step: kept[0] for step, kept in by_adam(weights, steps, loss, lambda step, last: LR).items()}


@torch.no_grad()
def quality(weights: Weights, data: Pairs) -> Quality:
    """Losses and accuracies on the pairs trained on and on the others."""
    found: list[float] = []
    for rows in data:
        out = logits(weights[None], rows)[0]
        found += [float(cross_entropy(out, rows[:, 2])), float((out.argmax(1) == rows[:, 2]).float().mean())]
    return Quality(*found)


def alive(weights: Weights) -> Tensor:
    """Which neurons [neuron] contribute: the product of a neuron's norms is what its output is large by."""
    first, second, out = weights.norm(dim=1)
    size = (first**2 + second**2) * out
    return size > ALIVE * size.max()


def frequencies(weights: Weights) -> float:
    """How many frequencies the network's first layer has: the participation ratio of its Fourier power."""
    reader = weights[0] - weights[0].mean(0)
    power = torch.fft.rfft(reader, dim=0).abs().square().sum(1)
    return float(power.sum() ** 2 / power.square().sum())
