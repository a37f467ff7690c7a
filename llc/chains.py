"""Sampling: chains started at the model's own weights, sharing one sequence of minibatches.

At draw t the loss is measured at w_t, on the minibatch whose gradient makes the next step, and the same minibatch's
loss at the center w* stands beside it: their difference is free of the minibatch noise that both share.
"""

import hashlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor
from transformer_lens import HookedTransformer

from llc import sgld
from llc.restrict import Restriction
from llc.settings import Settings

Tokens = Int64[Tensor, "row pos"]
Loss = Callable[[dict[str, Tensor], Tokens], Tensor]  # (weights, minibatch) -> mean loss, a scalar
LossAndGradient = Callable[[Float[Tensor, " dim"], Tokens], tuple[float, Float[Tensor, " dim"]]]


class Trace(NamedTuple):
    """Unreduced draws. A diverged chain is NaN from its first non-finite draw on."""

    loss: Float[np.ndarray, "chain draw"]
    center_loss: Float[np.ndarray, " draw"]
    virial: Float[np.ndarray, "chain draw"]
    distance: Float[np.ndarray, "chain draw"]
    dimension: int  # number of varied parameters


def sample(
    model: HookedTransformer, tokens: Tokens, restriction: Restriction, *, loss: Loss, settings: Settings, seed: int
) -> Trace:
    """Samples the local posterior with the parameters outside the restriction frozen.

    tokens: the whole data set, rows are drawn from it with replacement. The model itself is never changed. The result
    depends only on the arguments: minibatches on the seed, noise on seed, restriction and chain.
    """
    weights = {name: parameter.detach() for name, parameter in model.named_parameters()}
    check_inputs(weights, tokens, model.cfg.d_vocab)
    center = restriction.flat(weights)

    def loss_and_gradient(position: Float[Tensor, " dim"], batch: Tokens) -> tuple[float, Float[Tensor, " dim"]]:
        position = position.detach().requires_grad_()
        with torch.enable_grad():
            value = loss(restriction.put(weights, position), batch)
            (gradient,) = torch.autograd.grad(value, position)
        return value.item(), gradient

    recorder = Recorder(restriction.name, center, settings, seed)
    for rows in minibatches(len(tokens), settings, seed):
        batch = tokens[rows]
        with torch.no_grad():
            center_loss = loss(weights, batch).item()
        recorder.draw(center_loss, batch, loss_and_gradient)
    return recorder.trace()


class Recorder:
    """The chains of one restriction, advanced draw by draw; every engine drives the same one."""

    def __init__(self, name: str, center: Float[Tensor, " dim"], settings: Settings, seed: int) -> None:
        self.settings, self.dimension = settings, center.numel()
        self.generators = [generator_for(seed, name, chain) for chain in range(settings.num_chains)]
        self.states = [sgld.init(center) for _ in range(settings.num_chains)]
        self.records: dict[str, list[list[float]]] = {
            key: [[] for _ in self.states] for key in ("loss", "virial", "distance")
        }
        self.center_losses: list[float] = []

    def draw(self, center_loss: float, batch: Tokens, loss_and_gradient: LossAndGradient) -> None:
        """Measures every chain on this minibatch, then moves it."""
        self.center_losses.append(center_loss)
        for chain, state in enumerate(self.states):
            loss, gradient = loss_and_gradient(state.position, batch)
            self.states[chain], info = sgld.update(state, gradient, self.settings, self.generators[chain])
            for key, value in (("loss", loss), ("virial", info.virial), ("distance", info.distance)):
                self.records[key][chain].append(value)

    def trace(self) -> Trace:
        arrays = {key: np.array(values, dtype=np.float64) for key, values in self.records.items()}
        finite = np.logical_and.accumulate(np.isfinite(list(arrays.values())).all(0), axis=1)
        arrays = {key: np.where(finite, values, np.nan) for key, values in arrays.items()}
        return Trace(center_loss=np.array(self.center_losses), dimension=self.dimension, **arrays)


def minibatches(num_rows: int, settings: Settings, seed: int) -> np.ndarray:
    """Row numbers [draw, batch_size], drawn with replacement; the same for every restriction of one seed."""
    return np.random.default_rng(derived_seed(seed, "minibatches")).integers(
        num_rows, size=(settings.num_draws, settings.batch_size)
    )


def generator_for(seed: int, name: str, chain: int) -> torch.Generator:
    """The noise of one chain."""
    return torch.Generator().manual_seed(derived_seed(seed, f"noise {name} {chain}"))


def derived_seed(seed: int, purpose: str) -> int:
    """Independent integer seeds from one."""
    return int.from_bytes(hashlib.sha256(f"{seed} {purpose}".encode()).digest()[:8], "big") >> 1


def check_inputs(weights: dict[str, Tensor], tokens: Tokens, d_vocab: int) -> None:
    """Raises ValueError for an empty data set, a token outside the vocabulary, or weights that are not finite."""
    if len(tokens) == 0:
        raise ValueError("the data set has no rows: an LLC needs at least one")
    if int(tokens.min()) < 0 or int(tokens.max()) >= d_vocab:
        raise ValueError(
            f"token {int(tokens.max())} is outside the vocabulary of {d_vocab}: use the model's own tokenizer"
        )
    bad = next((name for name, weight in weights.items() if not torch.isfinite(weight).all()), None)
    if bad is not None:
        raise ValueError(f"weight {bad} is not finite: the checkpoint is damaged or its training diverged")
