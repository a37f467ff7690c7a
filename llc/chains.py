"""Sampling: chains started at the model's own weights, sharing one sequence of minibatches.

At draw t the loss is measured at w_t, on the minibatch whose gradient makes the next step, and the same minibatch's
loss at the center w* stands beside it: their difference is free of the minibatch noise that both share.
"""

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor
from transformer_lens import HookedTransformer, HookedTransformerConfig

from ablations.forward import check_tokens
from llc import sgld
from llc.kernel import Evaluate, Kernel, PerChain, Positions
from llc.losses import Loss, Tokens, predictor
from llc.restrict import Restriction
from llc.settings import Settings
from llc.trace import Recorder, derived_seed, fingerprint


class Observable(NamedTuple):
    """Another loss, or the same on other data, watched along a chain that does not feel it: not an LLC."""

    loss: Loss
    tokens: Tokens


def sample(
    model: HookedTransformer,
    tokens: Tokens,
    restriction: Restriction,
    *,
    loss: Loss,
    settings: Settings,
    seed: int,
    kernel: Kernel = sgld,
    observables: Mapping[str, Observable] | None = None,
) -> xr.Dataset:
    """Samples the local posterior with the parameters outside the restriction frozen; returns a trace (trace.py).

    tokens: the whole data set, rows are drawn from it with replacement. Data-refined: pass that data. Refined by a
    reference model: pass `losses.kl_to(reference)`. The model itself is never changed and its mode does not matter.
    The result depends only on the arguments: minibatches on the seed, noise on seed, restriction and chain.
    Raises ValueError for data or weights that cannot be sampled.
    """
    weights = {name: parameter.detach() for name, parameter in model.named_parameters()}
    check_inputs(weights, tokens, model.cfg)
    watched = observables or {}
    for observable in watched.values():
        check_inputs({}, observable.tokens, model.cfg)
    center, predict = restriction.flat(weights), predictor(model)
    attrs = described(weights, tokens, loss) | {"restriction": restriction.name, "path": "general"}
    recorder = Recorder(center, kernel, settings, seed, attrs, restriction.key_bias(model.cfg))
    streams = {name: minibatches(len(o.tokens), settings, seed, name) for name, o in watched.items()}
    for draw, rows in enumerate(batches(kernel, len(tokens), settings, seed)):
        batch = tokens[rows].to(center.device)
        prepared = loss.prepare(batch, rows)

        def value(position: Float[Tensor, " dim"], batch: Tokens = batch, prepared: object = prepared) -> Tensor:
            return loss.mean(predict(restriction.put(weights, position), batch), prepared)

        with torch.no_grad():
            center_loss = loss.mean(predict(weights, batch), prepared).item()
            rises = {}
            for name, (other, other_tokens) in watched.items():
                seen = streams[name][draw]
                other_batch = other_tokens[seen].to(center.device)
                target = other.prepare(other_batch, seen)
                start = other.mean(predict(weights, other_batch), target)
                now = [restriction.put(weights, position) for position in recorder.state.position]
                rises[name] = torch.stack([other.mean(predict(w, other_batch), target) - start for w in now])
        recorder.draw(center_loss, one_by_one(value), rises)
    return recorder.trace()


def sample_function(
    loss: Callable[[Positions, Tensor | None], PerChain],
    center: Float[Tensor, " dim"],
    *,
    settings: Settings,
    seed: int,
    data: Tensor | None = None,
    kernel: Kernel = sgld,
    name: str = "function",
) -> xr.Dataset:
    """The same for any function of a parameter vector: all chains at once.

    loss(positions, batch) -> the loss of each chain; batch is rows of data drawn with replacement, None without data
    (a population loss).
    """
    attrs = {"restriction": name, "loss": name, "weights": fingerprint(center)}
    attrs["data"] = "none" if data is None else fingerprint(data)
    recorder = Recorder(center, kernel, settings, seed, attrs)
    for rows in batches(kernel, 1 if data is None else len(data), settings, seed):
        batch = None if data is None else data[rows]

        def evaluate(
            positions: Positions, gradient: bool = True, batch: Tensor | None = batch
        ) -> tuple[PerChain, Positions]:
            return with_gradient(lambda seen: loss(seen, batch), positions, gradient)

        with torch.no_grad():
            center_loss = loss(center[None], batch).item()
        recorder.draw(center_loss, evaluate)
    return recorder.trace()


def one_by_one(value: Callable[[Float[Tensor, " dim"]], Tensor]) -> Evaluate:
    """Loss and gradient of each chain in turn."""

    def evaluate(positions: Positions, gradient: bool = True) -> tuple[PerChain, Positions]:
        pairs = [with_gradient(lambda one: value(one[0])[None], one[None], gradient) for one in positions]
        losses, gradients = zip(*pairs, strict=True)
        return torch.cat(losses), torch.cat(gradients)

    return evaluate


def with_gradient(
    loss: Callable[[Positions], PerChain], positions: Positions, gradient: bool = True
) -> tuple[PerChain, Positions]:
    """What an Evaluate returns (kernel.py), by automatic differentiation."""
    positions = positions.detach().requires_grad_(gradient)
    with torch.set_grad_enabled(gradient):
        values = loss(positions)
    if not gradient:
        return values, torch.full_like(positions, math.nan)
    return values.detach(), torch.autograd.grad(values.sum(), positions)[0]


def described(weights: Mapping[str, Tensor], tokens: Tokens, loss: Loss) -> dict[str, str]:
    """The part of a trace's attributes that names what is sampled, but for the restriction."""
    return {
        "loss": loss.name,
        "weights": fingerprint(*weights.values()),
        "data": fingerprint(tokens),
    }


def batches(kernel: Kernel, num_rows: int, settings: Settings, seed: int) -> np.ndarray:
    """Row numbers [draw, row] that a sampler's draws see."""
    if kernel.WHOLE_DATA:
        return np.tile(np.arange(num_rows), (settings.num_draws, 1))
    return minibatches(num_rows, settings, seed)


def minibatches(num_rows: int, settings: Settings, seed: int, purpose: str = "") -> np.ndarray:
    """Row numbers [draw, batch_size], drawn with replacement; the same for every restriction of one seed."""
    stream = derived_seed(seed, f"minibatches {purpose}".strip())
    return np.random.default_rng(stream).integers(num_rows, size=(settings.num_draws, settings.batch_size))


def check_inputs(weights: Mapping[str, Tensor], tokens: Tokens, cfg: HookedTransformerConfig) -> None:
    """Raises ValueError for an empty data set, rows that are too short or longer than the context, a token outside the
    vocabulary, or weights that are not finite.
    """
    if len(tokens) == 0:
        raise ValueError("the data set has no rows: an LLC needs at least one")
    check_tokens(cfg, tokens)
    if tokens.shape[1] < 2:
        raise ValueError(f"rows of {tokens.shape[1]} tokens: a loss needs two or more, give longer ones")
    bad = next((name for name, weight in weights.items() if not torch.isfinite(weight).all()), None)
    if bad is not None:
        raise ValueError(f"weight {bad} is not finite: the checkpoint is damaged or its training diverged")
