"""Chains of the heads of one layer, sharing per minibatch everything upstream of the layer and the loss at the center.

The same traces as `chains.sample` gives head by head, up to rounding. For attention-only models.
"""

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor
from transformer_lens import HookedTransformer

from ablations import attention
from ablations.attention import HeadWeights, Readings, Residual, Weights
from ablations.names import Head, check_head, head_name
from llc import restrict
from llc.chains import LossAndGradient, Recorder, Tokens, Trace, check_inputs, minibatches
from llc.settings import Settings


def sample_heads(
    model: HookedTransformer, tokens: Tokens, heads: Iterable[Head], *, settings: Settings, seed: int
) -> dict[Head, Trace]:
    """Next-token loss traces of several heads of a layer; each depends only on its own head and the other arguments."""
    cfg, weights = model.cfg, attention.weights_of(model)
    check_inputs(weights, tokens, cfg.d_vocab)
    heads = [check_head(head, cfg) for head in heads]
    (layer,) = {head[0] for head in heads}
    recorders = {}
    for head in heads:
        restriction = restrict.parse(head_name(head), weights, cfg)
        recorders[head] = Recorder(restriction.name, restriction.flat(weights), settings, seed)
    for rows in minibatches(len(tokens), settings, seed):
        batch = tokens[rows]
        with torch.no_grad():
            residual = attention.run_layers(weights, cfg, attention.embed(weights, cfg, batch), 0, layer)
            read = attention.readings(weights, cfg, layer, residual)
            own = attention.head_weights(weights, layer)
            z = attention.head_z(own, read, cfg.attn_scale)
            after = residual + attention.write(z, own.W_O) + weights[f"blocks.{layer}.attn.b_O"]
            final = attention.run_layers(weights, cfg, after, layer + 1, cfg.n_layers)
            center_loss = attention.token_losses(weights, cfg, final, batch).mean().item()
        for head, recorder in recorders.items():
            others = after - z[:, :, head[1]] @ own.W_O[head[1]]
            recorder.draw(center_loss, batch, _loss_of_head(weights, model, layer, read, others))
    return {head: recorder.trace() for head, recorder in recorders.items()}


def _loss_of_head(
    weights: Weights, model: HookedTransformer, layer: int, read: Readings, others: Residual
) -> LossAndGradient:
    """The loss and its gradient in one head's parameters, given what it reads and what all others write."""
    cfg = model.cfg
    shapes = [w.shape[1:] for w in attention.head_weights(weights, layer)]

    def loss_and_gradient(position: Float[Tensor, " dim"], batch: Tokens) -> tuple[float, Float[Tensor, " dim"]]:
        position = position.detach().requires_grad_()
        with torch.enable_grad():
            parts = position.split([shape.numel() for shape in shapes])
            head = HeadWeights(*(part.view(1, *shape) for part, shape in zip(parts, shapes, strict=True)))
            residual = others + attention.write(attention.head_z(head, read, cfg.attn_scale), head.W_O)
            final = attention.run_layers(weights, cfg, residual, layer + 1, cfg.n_layers)
            loss = attention.token_losses(weights, cfg, final, batch).mean()
            (gradient,) = torch.autograd.grad(loss, position)
        return loss.item(), gradient

    return loss_and_gradient
