"""Losses with a published coefficient at the origin: products of powers, and networks of tanh units."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from llc import closed_form
from llc.closed_form import Coefficient

NODES, WEIGHTS = (torch.from_numpy(part) for part in np.polynomial.legendre.leggauss(12))


class Model(NamedTuple):
    """A loss for `llc.sample_function` (positions [chain, dim], None) -> [chain]."""

    name: str
    parameters: int
    loss: Callable[[Tensor, Tensor | None], Tensor]
    exact: Coefficient
    source: str


def _crossing(
    exponents: tuple[int, ...], positions: Float[Tensor, "chain dim"], batch: Tensor | None
) -> Float[Tensor, " chain"]:
    """The product of w_i^(2 k_i)."""
    factors = [positions[:, i] ** (2 * k) for i, k in enumerate(exponents)]
    return torch.stack(factors).prod(0)


def tanh_loss(positions: Float[Tensor, "chain dim"], batch: Tensor | None = None) -> Float[Tensor, " chain"]:
    """The mean square of sum_h a_h tanh(b_h x) over x uniform in [-1, 1], by Gauss's rule of 12 nodes; parameters: all
    a, then all b.
    """
    outer, inner = positions.chunk(2, dim=1)
    nodes, weights = NODES.to(positions), WEIGHTS.to(positions) / 2
    outputs = (outer[:, :, None] * torch.tanh(inner[:, :, None] * nodes)).sum(1)
    return outputs.square() @ weights


def _name(exponents: tuple[int, ...]) -> str:
    letters = "xyz"
    return " ".join(f"{letter}^{2 * k}" for letter, k in zip(letters, exponents, strict=False))


CROSSINGS = tuple(
    Model(
        _name(exponents),
        len(exponents),
        partial(_crossing, exponents),
        closed_form.normal_crossings(exponents),
        "Watanabe 2009: the least 1 / (2 k_i)",
    )
    for exponents in ((1,), (2,), (1, 1), (2, 1), (1, 1, 1))
)
NETWORKS = tuple(
    Model(
        f"tanh, {hidden} hidden unit{'s' * (hidden > 1)}",
        2 * hidden,
        tanh_loss,
        closed_form.tanh_network(hidden),
        "Aoyagi and Watanabe 2005, one input and output",
    )
    for hidden in (1, 2, 3, 4)
)
MODELS = (*CROSSINGS, *NETWORKS)
