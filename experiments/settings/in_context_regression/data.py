"""Contexts of examples of one linear task each, after Hoogland et al. (arXiv:2402.02364), but smaller.

A task is a vector w of two numbers. A context shows inputs x of a standard normal distribution, each followed by its
label y = w . x + noise. As tokens they alternate, (0, x) and then (y, 0), and the label is predicted at its input's
token, from the examples before it. Tasks are drawn anew from a standard normal distribution for each context, or from a
fixed list of M of them (Raventos et al., arXiv:2306.15063).
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

WIDTH = 2  # numbers of an input, and of a task
EXAMPLES = 7
NOISE = 0.125  # variance of a label's noise, as in arXiv:2402.02364
PRIOR_LOSS = WIDTH + NOISE  # of predicting 0, the mean of all labels

Tasks = Float[Tensor, "task width"]


class Contexts(NamedTuple):
    """Examples, several contexts of them."""

    inputs: Float[Tensor, "context example width"]
    labels: Float[Tensor, "context example"]


def tasks(count: int, seed: int) -> Tasks:
    """The tasks of a seed; the first ones are the same for every count."""
    generator = torch.Generator().manual_seed(20_000 + seed)
    return torch.randn(count, WIDTH, generator=generator)


def contexts(count: int, known: Tasks | None, generator: torch.Generator) -> Contexts:
    """Contexts of these tasks, all equally likely, or of new ones where known is None."""
    drawn = torch.randn(count, WIDTH, generator=generator)
    if known is not None:
        drawn = known[torch.randint(len(known), (count,), generator=generator)]
    inputs = torch.randn(count, EXAMPLES, WIDTH, generator=generator)
    noise = NOISE**0.5 * torch.randn(count, EXAMPLES, generator=generator)
    return Contexts(inputs, (inputs @ drawn[:, :, None])[:, :, 0] + noise)


def shuffled(found: Contexts, generator: torch.Generator) -> Contexts:
    """The control: each label comes from any context, so that examples say nothing of one another."""
    order = torch.rand(found.labels.shape, generator=generator).argsort(0)
    return found._replace(labels=found.labels.gather(0, order))


def tokens(found: Contexts) -> Float[Tensor, "context token entry"]:
    """Inputs and labels in turn, without the last label, which nothing is predicted from."""
    inputs = torch.nn.functional.pad(found.inputs, (1, 0))
    labels = torch.nn.functional.pad(found.labels[:, :, None], (0, WIDTH))
    return torch.stack([inputs, labels], 2).flatten(1, 2)[:, :-1]
