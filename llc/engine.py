"""Chains of the heads of one layer, sharing per minibatch everything upstream of the layer and the loss at the center.

The same traces as `chains.sample` gives head by head, up to rounding. For attention-only models.
"""

from collections.abc import Callable, Iterable

import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor
from transformer_lens import HookedTransformer

from ablations import attention
from ablations.attention import HeadWeights, Readings, Residual, Weights
from ablations.names import Head, check_head, head_name
from llc import restrict, sgld
from llc.chains import batches, check_inputs, described, one_by_one
from llc.kernel import Kernel
from llc.losses import Loss, Tokens, next_token
from llc.settings import Settings
from llc.trace import Recorder


def sample_heads(
    model: HookedTransformer,
    tokens: Tokens,
    heads: Iterable[Head],
    *,
    settings: Settings,
    seed: int,
    loss: Loss | None = None,
    kernel: Kernel = sgld,
) -> dict[Head, xr.Dataset]:
    """Traces of several heads of a layer (loss: next_token); each depends only on its own head and the arguments."""
    cfg, weights = model.cfg, attention.weights_of(model)
    check_inputs(weights, tokens, cfg.d_vocab)
    loss = loss or next_token()
    heads = [check_head(head, cfg) for head in heads]
    (layer,) = {head[0] for head in heads}
    recorders = {}
    for head in heads:
        restriction = restrict.parse(head_name(head), weights, cfg)
        attrs = described(weights, tokens, restriction, loss)
        recorders[head] = Recorder(restriction.flat(weights), kernel, settings, seed, attrs, restriction.key_bias(cfg))
    own = attention.head_weights(weights, layer)
    for rows in batches(kernel, len(tokens), settings, seed):
        batch = tokens[rows]
        prepared = loss.prepare(batch, rows)

        def value(final: Residual, prepared: object = prepared) -> Tensor:
            return loss.mean(attention.unembed(weights, cfg, final[:, :-1]), prepared)

        with torch.no_grad():
            residual = attention.run_layers(weights, cfg, attention.embed(weights, cfg, batch), 0, layer)
            read = attention.readings(weights, cfg, layer, residual)
            z = attention.head_z(own, read, cfg.attn_scale)
            after = residual + attention.write(z, own.W_O) + weights[f"blocks.{layer}.attn.b_O"]
            center_loss = value(attention.run_layers(weights, cfg, after, layer + 1, cfg.n_layers)).item()
        for head, recorder in recorders.items():
            others = after - z[:, :, head[1]] @ own.W_O[head[1]]
            recorder.draw(center_loss, one_by_one(_of_head(weights, model, layer, read, others, value)))
    return {head: recorder.trace() for head, recorder in recorders.items()}


def _of_head(
    weights: Weights,
    model: HookedTransformer,
    layer: int,
    read: Readings,
    others: Residual,
    value: Callable[[Residual], Tensor],
) -> Callable[[Float[Tensor, " dim"]], Tensor]:
    """The loss as a function of one head's parameters, given what it reads and what all others write."""
    cfg = model.cfg
    shapes = [w.shape[1:] for w in attention.head_weights(weights, layer)]

    def loss(position: Float[Tensor, " dim"]) -> Tensor:
        parts = position.split([shape.numel() for shape in shapes])
        head = HeadWeights(*(part.view(1, *shape) for part, shape in zip(parts, shapes, strict=True)))
        residual = others + attention.write(attention.head_z(head, read, cfg.attn_scale), head.W_O)
        return value(attention.run_layers(weights, cfg, residual, layer + 1, cfg.n_layers))

    return loss
