"""The tasks, the network, and its training.

A task is the parity of three of twelve bits. The input says which task is asked for, one-hot, and gives the bits, as
-1 and 1 (multitask sparse parity: Michaud, Liu, Girit and Tegmark, arXiv:2303.13506, section 3; there are 100 bits,
hundreds of tasks and cross-entropy). A network of one hidden layer learns the parity, -1 or 1, by squared error:

    f(x) = v . ReLU(A x + b) + c,    A [neuron, input], b and v [neuron], c

There are always eight names of tasks, all asked for equally often unless frequencies are given. What differs is how
many of them have an answer: the others' is 0. So networks that have learned different numbers of tasks have the same
inputs. The network starts near zero, where it is simple, sees new inputs at each update, and weight decay keeps it
small.
"""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn.functional import one_hot

from experiments.settings.training import by_adam

NAMES = 8
BITS, ORDER = 12, 3
NEURONS = 128
DECAY = 1e-4
LR, BATCH = 3e-3, 256
START = 0.1  # of the usual size of weights at the start
LEARNED = 0.1  # a task's squared error below which it counts as learned; 1 is chance


class Tasks(NamedTuple):
    """What the network is asked."""

    bits: Int64[Tensor, "name order"]  # whose parity is the answer
    answered: Float[Tensor, " name"]  # 1 where the name has an answer, and 0 where that is always 0
    shares: Float[Tensor, " name"]  # how often each name is asked for


def tasks(count: int, seed: int, *, zipf: float = 0.0, same: bool = False) -> Tasks:
    """So many names with an answer, of bits drawn by the seed.

    zipf: the exponent of the names' frequencies; same: whether the names all mean the first one's task.
    """
    if not 1 <= count <= NAMES:
        raise ValueError(f"{count} tasks: give 1 to {NAMES}")
    generator = torch.Generator().manual_seed(seed)
    bits = torch.stack([torch.randperm(BITS, generator=generator)[:ORDER] for _ in range(NAMES)])
    shares = torch.arange(1, NAMES + 1).double() ** -zipf
    answered = (torch.arange(NAMES) < count).float()
    return Tasks(bits[:1].expand(NAMES, ORDER) if same else bits, answered, (shares / shares.sum()).float())


def inputs(
    asked: Tasks, which: Int64[Tensor, " row"], generator: torch.Generator
) -> tuple[Float[Tensor, "row input"], Float[Tensor, " row"]]:
    """Inputs with random bits for these names, and their answers."""
    bits = 2 * torch.randint(0, 2, (len(which), BITS), generator=generator) - 1
    parity = bits.gather(1, asked.bits[which]).prod(1)
    return torch.cat([one_hot(which, NAMES), bits], 1).float(), parity * asked.answered[which]


def evaluation(asked: Tasks, rows: int, seed: int) -> tuple[Float[Tensor, "row input"], Float[Tensor, " row"]]:
    """So many inputs for each name, in the order of names."""
    which = torch.arange(NAMES).repeat_interleave(rows)
    return inputs(asked, which, torch.Generator().manual_seed(10_000 + seed))


def outputs(
    positions: Float[Tensor, "chain parameter"], rows: Float[Tensor, "row input"]
) -> Float[Tensor, "chain row"]:
    """Outputs of several networks, whose parameters are A, b, v and c, one after the other."""
    reader, bias, out, offset = positions.split([rows.shape[1] * NEURONS, NEURONS, NEURONS, 1], 1)
    hidden = rows @ reader.unflatten(1, (rows.shape[1], NEURONS)) + bias[:, None]
    return (hidden.relu() @ out[:, :, None])[:, :, 0] + offset


def train(asked: Tasks, seed: int, steps: Iterable[int]) -> dict[int, Float[Tensor, " parameter"]]:
    """The parameters after these numbers of updates, the last of them the end of training."""
    generator = torch.Generator().manual_seed(1000 + seed)
    width = NAMES + BITS
    reader = START * torch.randn(width * NEURONS, generator=generator) / width**0.5
    out = START * torch.randn(NEURONS, generator=generator) / NEURONS**0.5
    weights = torch.cat([reader, torch.zeros(NEURONS), out, torch.zeros(1)])

    def loss(weights: Tensor) -> Tensor:
        rows, parity = inputs(asked, torch.multinomial(asked.shares, BATCH, True, generator=generator), generator)
        error = (outputs(weights[None], rows)[0] - parity).square().mean()
        return error + DECAY / 2 * weights.square().sum()

    def rate(step: int, last: int) -> float:
        return LR * min(1.0, 4 * (1 - step / (last + 1)))  # falls to zero in the last quarter

    return by_adam(weights, steps, loss, rate)


@torch.no_grad()
def errors(weights: Float[Tensor, " parameter"], asked: Tasks, seed: int) -> list[float]:
    """The squared error of each name on inputs that were not trained on."""
    rows, parity = evaluation(asked, 512, seed)
    missed = (outputs(weights[None], rows)[0] - parity).square()
    return [round(value, 5) for value in missed.view(NAMES, -1).mean(1).tolist()]
