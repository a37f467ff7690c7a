"""The loss as a function of one head's parameters, for many chains of it, on activations that all of them share.

A head adds a term of rank d_head to the residual stream r, and what reads the stream next (the unembedding, or the
next layer's queries, keys and values) is linear up to the norm's scale s of each token:

    read = s (center(r) W) + bias = s (base + z (center(W_O) W)) + bias,    base = center(r without the head) W

so that base is shared and the product with W costs d_head, not d_model, forward and backward, for every chain.
Nothing upstream of the head is computed again, and no frozen weight gets a gradient.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from transformer_lens import HookedTransformerConfig

from ablations import attention
from ablations.attention import HeadVectors, HeadWeights, Readings, Residual, Weights
from llc.cross_entropy import Held, cross_entropy, held
from llc.losses import SoftTargets, Targets, Tokens
from llc.scaled_product import scaled_product


class Layer(NamedTuple):
    """A layer whose heads vary, and what reads the residual stream after it: logits, or the next layer's queries
    (scaled), keys and values side by side."""

    weights: Weights
    cfg: HookedTransformerConfig
    number: int
    reader: Float[Tensor, "d_model read"]  # W, the norm's weight folded in
    bias: Float[Tensor, " read"] | Float[Tensor, "pos read"]  # of logits; of queries, keys and values
    folded: Float[Tensor, "head d_head read"]  # center(W_O) W of the model's own heads
    bf16: bool  # whether the products with the vocabulary take rounded factors

    @property
    def last(self) -> bool:
        return self.number == self.cfg.n_layers - 1


class Part(NamedTuple):
    """Some rows of a minibatch as run with the model's own weights. Tokens are flat after the layer: row and position,
    without the last position where only predictions count."""

    read: Readings
    z: HeadVectors  # of every head of the layer
    after: Float[Tensor, "token d_model"]  # residual stream after the layer
    base: Float[Tensor, "token read"]  # center(after) W
    against: Held
    loss: Float[Tensor, " one"]  # with the model's own weights


class Varied(NamedTuple):
    """Chains of one head, and what it writes as it is read."""

    weights: HeadWeights  # chains stand where a layer's heads do
    folded: Float[Tensor, "chain d_head read"]  # center(W_O) W


class Others(NamedTuple):
    """A part without one head of the layer."""

    residual: Float[Tensor, "token d_model"]  # after the layer
    base: Float[Tensor, "token read"]  # center(residual) W


def layer(weights: Weights, cfg: HookedTransformerConfig, number: int, *, bf16: bool = False) -> Layer:
    """Raises ValueError for models these functions cannot run (`attention.beyond_attention`)."""
    if reason := attention.beyond_attention(cfg):
        raise ValueError(f"the loss of a head alone is not computed here: {reason}; sample by engine.sample")
    if number == cfg.n_layers - 1:
        reader, bias, norm = weights["unembed.W_U"], weights["unembed.b_U"], "ln_final"
    else:
        heads, norm = attention.head_weights(weights, number + 1), f"blocks.{number + 1}.ln1"
        scale = 1 / float(cfg.attn_scale)
        flat = [w.transpose(0, 1).flatten(1) for w in (scale * heads.W_Q, heads.W_K, heads.W_V)]
        reader, bias = torch.cat(flat, 1), torch.cat([b.flatten() for b in (scale * heads.b_Q, heads.b_K, heads.b_V)])
        positions = weights["pos_embed.W_pos"] * (cfg.positional_embedding_type == "shortformer")
        bias = bias + torch.cat([positions @ flat[0], positions @ flat[1], 0 * positions @ flat[2]], 1)
    if f"{norm}.b" in weights:
        bias = bias + weights[f"{norm}.b"] @ reader
    if f"{norm}.w" in weights:
        reader = weights[f"{norm}.w"][:, None] * reader
    folded = _centered(cfg, weights[f"blocks.{number}.attn.W_O"]) @ reader
    return Layer(weights, cfg, number, reader, bias, folded, bf16)


def part(of: Layer, tokens: Tokens, prepared: Targets | SoftTargets) -> Part:
    """Runs rows of a minibatch with the model's own weights."""
    weights, cfg, number = of.weights, of.cfg, of.number
    with torch.no_grad():
        residual = attention.run_layers(weights, cfg, attention.embed(weights, cfg, tokens), 0, number)
        read = attention.readings(weights, cfg, number, residual)
        own = attention.head_weights(weights, number)
        z = attention.head_z(own, read, cfg.attn_scale)
        after = residual + attention.write(z, own.W_O) + weights[f"blocks.{number}.attn.b_O"]
        flat = _tokens(of, after)
        base = _centered(cfg, flat) @ of.reader
        against = held(prepared, of.bias if of.last else weights["unembed.b_U"])
        if of.last:
            nothing = flat.new_empty(1, len(flat), 0)
            loss = cross_entropy(nothing, nothing.new_empty(0, base.shape[1]), _scale(cfg, flat[None]), against, base)
        else:
            loss = _unembedded(of, attention.run_layers(weights, cfg, after, number + 1, cfg.n_layers)[None], against)
        return Part(read, z, flat, base, against, loss)


def varied(of: Layer, head: int, positions: Float[Tensor, "chain dim"]) -> Varied:
    """Chains' parameters for one head, differentiable in the positions; once for all parts of a minibatch."""
    shapes = [w.shape[1:] for w in attention.head_weights(of.weights, of.number)]
    parts = positions.split([shape.numel() for shape in shapes], 1)
    weights = HeadWeights(*(part.view(-1, *shape) for part, shape in zip(parts, shapes, strict=True)))
    return Varied(weights, _centered(of.cfg, weights.W_O) @ of.reader)


def without(of: Layer, on: Part, head: int) -> Others:
    """The layer without one head; once for all its chains."""
    with torch.no_grad():
        z = _tokens(of, on.z[:, :, head])
        W_O = of.weights[f"blocks.{of.number}.attn.W_O"][head]
        return Others(on.after - z @ W_O, torch.addmm(on.base, z, of.folded[head], alpha=-1))


def loss(of: Layer, on: Part, others: Others, head: Varied) -> Float[Tensor, " chain"]:
    """The mean loss of these rows with each chain's parameters for the head; differentiable in them."""
    weights, cfg = of.weights, of.cfg
    # [row, pos, chain, d_head] -> [chain, token, d_head]
    z = _tokens(of, attention.head_z(head.weights, on.read, cfg.attn_scale).movedim(2, 0))
    residual = torch.baddbmm(others.residual.expand(len(z), -1, -1), z, head.weights.W_O)
    scale = _scale(cfg, residual)
    if of.last:
        return cross_entropy(z, head.folded, scale, on.against, others.base, bf16=of.bf16)
    rows, length = on.z.shape[:2]
    seen = scaled_product(z, head.folded, scale, others.base, of.bias[:length])
    qkv = seen.view(len(z) * rows, length, 3, cfg.n_heads, cfg.d_head)
    after = f"blocks.{of.number + 1}.attn"
    written = attention.write(attention.attend_packed(qkv), weights[f"{after}.W_O"])
    residual = residual.view_as(written) + written + weights[f"{after}.b_O"]
    residual = attention.run_layers(weights, cfg, residual, of.number + 2, cfg.n_layers)
    return _unembedded(of, residual.unflatten(0, (len(z), rows)), on.against)


def _unembedded(of: Layer, residual: Float[Tensor, "chain row pos d_model"], against: Held) -> Float[Tensor, " chain"]:
    final = attention.normalize(of.weights, of.cfg, "ln_final", residual[:, :, :-1])
    return cross_entropy(final.flatten(1, 2), of.weights["unembed.W_U"], None, against, bf16=of.bf16)


def _tokens(of: Layer, values: Float[Tensor, "*chain row pos d"]) -> Float[Tensor, "*chain token d"]:
    """Rows and positions as one axis, without the last position where the logits are read next."""
    return (values[..., :-1, :] if of.last else values).flatten(-3, -2)


def _centered(cfg: HookedTransformerConfig, residual: Tensor) -> Tensor:
    return residual if cfg.normalization_type is None else residual - residual.mean(-1, keepdim=True)


def _scale(cfg: HookedTransformerConfig, residual: Residual) -> Float[Tensor, "chain token"] | None:
    """What a norm multiplies a centered token with; None without norms."""
    if cfg.normalization_type is None:
        return None
    return (_centered(cfg, residual).square().mean(-1) + cfg.eps).rsqrt()
