"""Gradients of a task's metric with respect to what every head and the output read, by the rules of a method.

The forward pass is the model's own whatever the rules; these say what is taken for the derivative where a layer is not
linear.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from einops import einsum
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import FunctionCtx

from ablations import forward, mlp
from ablations.forward import Weights
from ablations.models import Config
from ablations.paths import OUTPUT, VIAS
from ablations.rotary import turned

# Of the metric, with respect to what is read: by layer and input ("q", "k", "v" [prompt, pos, head, d_model]), and for
# an MLP by (layer, MLP) and the output by (n_layers, OUTPUT) [prompt, pos, d_model]; and to what heads give, by layer
# and Z.
Gradients = dict[tuple[int, str], Tensor]
Z = "z"  # [prompt, pos, head, d_head]
MLP = "mlp"


class Rules(NamedTuple):
    """What is taken for derivatives; the defaults are the true ones."""

    frozen_norms: bool = False  # layer norms divide by a constant
    temperature: float = 1.0  # the softmax's derivative is that of scores over this (without the factor)
    scales: tuple[float, float, float] = (1.0, 1.0, 1.0)  # of the gradients of queries, keys and values
    linear_activations: bool = False  # an MLP's activation multiplies by a constant, act(x) / x
    without_layer: int | None = None  # nothing flows back through what this layer adds


TRUE = Rules()


class Linked(NamedTuple):
    """A run whose metric can be differentiated with respect to what is read."""

    metric: Float[Tensor, " prompt"]
    shifts: Gradients  # zeros that are added to what is read, by the names of gradients
    z: list[Float[Tensor, "prompt pos head d_head"]]  # what heads give, by layer
    mlps: list[Float[Tensor, "prompt pos d_model"]]  # what MLPs write, by layer; empty where there are none


def gradients(
    weights: Weights,
    cfg: Config,
    residual: Float[Tensor, "prompt pos d_model"],
    metric: Callable[[Tensor], Tensor],
    rules: Rules = TRUE,
    z: Mapping[int, Tensor] | None = None,
    mlps: Mapping[int, Tensor] | None = None,
) -> Gradients:
    """Of the sum of the metric, from these embeddings on; the arguments are those of `linked`."""
    return of_linked(linked(weights, cfg, residual, metric, rules, z, mlps))


def of_linked(run: Linked) -> Gradients:
    """Of the sum of the run's metric."""
    found = torch.autograd.grad(run.metric.sum(), list(run.shifts.values()), allow_unused=True)
    return {
        name: torch.zeros_like(shift) if one is None else one
        for (name, shift), one in zip(run.shifts.items(), found, strict=True)
    }


def linked(
    weights: Weights,
    cfg: Config,
    residual: Float[Tensor, "prompt pos d_model"],
    metric: Callable[[Tensor], Tensor],
    rules: Rules = TRUE,
    z: Mapping[int, Tensor] | None = None,
    mlps: Mapping[int, Tensor] | None = None,
) -> Linked:
    """The run from these embeddings on.

    metric: of logits [prompt, pos, vocab]. z, mlps: in place of what a layer's heads give and of what its MLP writes,
    which are constants then.
    """
    shifts: Gradients = {}
    given: list[Tensor] = []
    by_mlps: list[Tensor] = []
    for layer in range(cfg.n_layers):
        read = _read(weights, cfg, layer, residual, shifts, rules)
        own = _attend(read["q"], read["k"], read["v"], cfg.attn_scale, rules.temperature)
        if z is not None and layer in z:
            own = own * 0 + z[layer]
        given.append(own.detach())
        shifts[layer, Z] = torch.zeros_like(own, requires_grad=True)
        own = own + shifts[layer, Z]
        after_heads = forward.after_heads(weights, layer, residual, own)
        added = after_heads - residual
        if not cfg.attn_only:
            shifts[layer, MLP] = torch.zeros_like(residual, requires_grad=True)
            read_by_mlp = (residual if cfg.parallel_attn_mlp else after_heads) + shifts[layer, MLP]
            written = _mlp_write(weights, cfg, layer, read_by_mlp, rules)
            if mlps is not None and layer in mlps:
                written = written * 0 + mlps[layer]
            by_mlps.append(written.detach())
            added = added + written
        residual = residual + (added.detach() if rules.without_layer == layer else added)
    shifts[cfg.n_layers, OUTPUT] = torch.zeros_like(residual, requires_grad=True)
    logits = _unembed(weights, cfg, residual + shifts[cfg.n_layers, OUTPUT], rules)
    return Linked(metric(logits), shifts, given, by_mlps)


def _read(
    weights: Weights, cfg: Config, layer: int, residual: Tensor, shifts: Gradients, rules: Rules
) -> dict[str, Tensor]:
    """A layer's queries, keys and values; the zeros in what they are read from join the shifts."""
    heads, length = forward.head_weights(weights, layer), residual.shape[1]
    read: dict[str, Tensor] = {}
    own_weights = (heads.W_Q, heads.W_K, heads.W_V), (heads.b_Q, heads.b_K, heads.b_V), rules.scales
    for via, weight, bias, scale in zip(VIAS, *own_weights, strict=True):
        shift = residual.new_zeros(*residual.shape[:2], cfg.n_heads, cfg.d_model, requires_grad=True)
        shifts[layer, via] = shift
        normalized = _norm(weights, cfg, f"blocks.{layer}.ln1", residual[:, :, None] + shift, rules)
        if via != "v" and cfg.positional_embedding_type == "shortformer":
            normalized = normalized + weights["pos_embed.W_pos"][:length, None]
        vectors = einsum(normalized, weight, "prompt pos head d_model, head d_model d_head -> prompt pos head d_head")
        vectors = _scaled(vectors + bias, scale)
        read[via] = vectors if via == "v" else turned(vectors, forward.rotary(weights, cfg, length))
    return read


def shares(steps: int) -> list[float]:
    """How far one is on the way after each of some even steps, the last at its end; raises ValueError for none."""
    if steps < 1:
        raise ValueError(f"steps={steps}: at least one gradient is needed")
    return [step / steps for step in range(1, steps + 1)]


def mean_along(way: Sequence[float], at: Callable[[float], Gradients]) -> Gradients:
    """The mean of the gradients at these shares of a way, of which one at a time is held."""
    mean: Gradients = {}
    for share in way:
        mean = {name: mean.get(name, 0) + one / len(way) for name, one in at(share).items()}
    return mean


def _norm(weights: Weights, cfg: Config, name: str, residual: Tensor, rules: Rules) -> Tensor:
    if rules.frozen_norms:
        return forward.normalize_as(weights, cfg, name, residual, like=residual.detach())
    return forward.normalize(weights, cfg, name, residual)


def _unembed(weights: Weights, cfg: Config, residual: Tensor, rules: Rules) -> Tensor:
    return forward.unembed(weights, cfg, residual, residual.detach() if rules.frozen_norms else None)


def _scaled(vectors: Tensor, scale: float) -> Tensor:
    """The same vectors, with gradients multiplied by a number."""
    return vectors if scale == 1 else scale * vectors + (1 - scale) * vectors.detach()


def _attend(query: Tensor, key: Tensor, value: Tensor, attn_scale: float, temperature: float) -> Tensor:
    if temperature == 1:
        return forward.attend(query, key, value, attn_scale)
    scores = query.transpose(1, 2) @ key.permute(0, 2, 3, 1) / attn_scale
    future = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).triu(1)
    pattern = _Softened.apply(scores.masked_fill(future, float("-inf")), temperature)
    return (pattern @ value.transpose(1, 2)).transpose(1, 2)


class _Softened(torch.autograd.Function):
    """The softmax over the last dimension, whose derivative is taken at scores over a temperature."""

    @staticmethod
    def forward(ctx: FunctionCtx, scores: Tensor, temperature: float) -> Tensor:
        ctx.save_for_backward(scores)
        ctx.temperature = temperature  # type: ignore[attr-defined]
        return scores.softmax(-1)

    @staticmethod
    def backward(ctx: FunctionCtx, *gradient: Tensor) -> tuple[Tensor, None]:
        (scores,) = ctx.saved_tensors  # type: ignore[attr-defined]
        softer = (scores / ctx.temperature).softmax(-1)  # type: ignore[attr-defined]
        return softer * (gradient[0] - (gradient[0] * softer).sum(-1, keepdim=True)), None


def _mlp_write(weights: Weights, cfg: Config, layer: int, stream: Tensor, rules: Rules) -> Tensor:
    read = _norm(weights, cfg, f"blocks.{layer}.ln2", stream, rules)
    activation = _constant_slope(mlp.ACTIVATIONS[str(cfg.act_fn)]) if rules.linear_activations else None
    return mlp.mlp_write(weights, cfg, layer, read, activation)


def _constant_slope(activation: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    def linear(x: Tensor) -> Tensor:
        safe = torch.where(x == 0, torch.ones_like(x), x)
        return x * (activation(x) / safe).detach()

    return linear
