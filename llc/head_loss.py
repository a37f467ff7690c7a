"""The loss as a function of one head's parameters, for many chains of it, on activations that all of them share.

A head adds a term of rank d_head to the residual stream r, and what reads the stream next (the unembedding, or the
next layer's queries, keys and values) is linear up to the norm's scale s of each token:

    read = s (center(r) W) + bias = s (base + z (center(W_O) W)) + bias,    base = center(r without the head) W

so that base is shared and the product with W costs d_head, not d_model, forward and backward, for every chain. Where
the layer's own MLP reads next, there is no such product, and W has no columns. Nothing upstream of the head is computed
again, and no frozen weight gets a gradient.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from transformer_lens import HookedTransformerConfig

from ablations import forward
from ablations.forward import HeadVectors, HeadWeights, Readings, Residual, Rotary, Weights, turned
from llc.cross_entropy import Held, cross_entropy, held
from llc.losses import SoftTargets, Targets, Tokens
from llc.scaled_product import scaled_product


class Layer(NamedTuple):
    """A layer whose heads vary, and what reads the residual stream after them: logits, the next layer's queries
    (scaled), keys and values side by side, or the layer's own MLP (`reader` is empty)."""

    weights: Weights
    cfg: HookedTransformerConfig
    number: int
    reader: Float[Tensor, "d_model read"]  # W, the norm's weight folded in
    bias: Float[Tensor, " read"] | Float[Tensor, "pos read"]  # of logits; of queries, keys and values
    folded: Float[Tensor, "head d_head read"]  # center(W_O) W of the model's own heads
    bf16: bool  # whether the products with the vocabulary take rounded factors

    @property
    def into_mlp(self) -> bool:
        return forward.mlp_reads_heads(self.cfg)

    @property
    def into_logits(self) -> bool:
        return self.number == self.cfg.n_layers - 1 and not self.into_mlp


class Part(NamedTuple):
    """Some rows of a minibatch as run with the model's own weights. Tokens are flat after the layer: row and position,
    without the last position where only predictions count."""

    read: Readings
    z: HeadVectors  # of every head of the layer
    after: Float[Tensor, "token d_model"]  # residual stream after the layer, but for an MLP that reads the heads
    base: Float[Tensor, "token read"]  # center(after) W
    against: Held
    loss: Float[Tensor, " one"]  # with the model's own weights


class Varied(NamedTuple):
    """Chains of one head, and what it writes as it is read."""

    weights: HeadWeights  # chains stand where a layer's heads do
    folded: Float[Tensor, "chain d_head read"]  # center(W_O) W


class Others(NamedTuple):
    """A part without one head of the layer."""

    residual: Float[Tensor, "token d_model"]  # as `Part.after`
    base: Float[Tensor, "token read"]  # center(residual) W


def layer(weights: Weights, cfg: HookedTransformerConfig, number: int, *, bf16: bool = False) -> Layer:
    """Raises ValueError for a model these functions cannot run (`forward.weights_of`)."""
    forward.check_supported(cfg)
    nothing = weights["unembed.W_U"][:, :0]
    unread = Layer(weights, cfg, number, nothing, nothing[0], nothing, bf16)
    if unread.into_mlp:
        return unread._replace(folded=weights[f"blocks.{number}.attn.W_O"] @ nothing)
    if number == cfg.n_layers - 1:
        reader, bias, norm = weights["unembed.W_U"], weights["unembed.b_U"], "ln_final"
    else:
        heads, norm = forward.head_weights(weights, number + 1), f"blocks.{number + 1}.ln1"
        scale = 1 / float(cfg.attn_scale)
        flat = [w.transpose(0, 1).flatten(1) for w in (scale * heads.W_Q, heads.W_K, heads.W_V)]
        reader, bias = torch.cat(flat, 1), torch.cat([b.flatten() for b in (scale * heads.b_Q, heads.b_K, heads.b_V)])
        bias = bias.expand(cfg.n_ctx, -1)
        if cfg.positional_embedding_type == "shortformer":
            positions = weights["pos_embed.W_pos"]
            bias = bias + torch.cat([positions @ flat[0], positions @ flat[1], 0 * positions @ flat[2]], 1)
    if f"{norm}.b" in weights:
        bias = bias + weights[f"{norm}.b"] @ reader
    if f"{norm}.w" in weights:
        reader = weights[f"{norm}.w"][:, None] * reader
    folded = forward.centred(cfg, weights[f"blocks.{number}.attn.W_O"]) @ reader
    return unread._replace(reader=reader, bias=bias, folded=folded)


def part(of: Layer, tokens: Tokens, prepared: Targets | SoftTargets) -> Part:
    """Runs rows of a minibatch with the model's own weights."""
    weights, cfg, number = of.weights, of.cfg, of.number
    with torch.no_grad():
        residual = forward.run_layers(weights, cfg, forward.embed(weights, cfg, tokens), 0, number)
        read = forward.readings(weights, cfg, number, residual)
        own = forward.head_weights(weights, number)
        z = forward.head_z(own, read, cfg.attn_scale)
        if of.into_mlp:
            after = forward.after_heads(weights, number, residual, z)
        else:
            after = forward.after_layer(weights, cfg, number, residual, z)
        flat = _tokens(of, after)
        base = forward.centred(cfg, flat) @ of.reader
        against = held(prepared, of.bias if of.into_logits else weights["unembed.b_U"])
        if of.into_logits:
            nothing = flat.new_empty(1, len(flat), 0)
            loss = cross_entropy(nothing, nothing.new_empty(0, base.shape[1]), _scale(cfg, flat[None]), against, base)
        else:
            loss = _unembedded(of, _later(of, after)[None], against)
        return Part(read, z, flat, base, against, loss)


def varied(of: Layer, head: int, positions: Float[Tensor, "chain dim"]) -> Varied:
    """Chains' parameters for one head, differentiable in the positions; once for all parts of a minibatch."""
    shapes = [w.shape[1:] for w in forward.head_weights(of.weights, of.number)]
    parts = positions.split([shape.numel() for shape in shapes], 1)
    weights = HeadWeights(*(part.view(-1, *shape) for part, shape in zip(parts, shapes, strict=True)))
    return Varied(weights, forward.centred(of.cfg, weights.W_O) @ of.reader)


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
    z = _tokens(of, forward.head_z(head.weights, on.read, cfg.attn_scale).movedim(2, 0))
    residual = torch.baddbmm(others.residual.expand(len(z), -1, -1), z, head.weights.W_O)
    rows, length = on.z.shape[:2]
    if of.into_mlp:
        final = _later(of, residual.view(len(z) * rows, length, -1))
        return _unembedded(of, final.unflatten(0, (len(z), rows)), on.against)
    scale = _scale(cfg, residual)
    if of.into_logits:
        return cross_entropy(z, head.folded, scale, on.against, others.base, bf16=of.bf16)
    seen = scaled_product(z, head.folded, scale, others.base, of.bias[:length])
    qkv = seen.view(len(z) * rows, length, 3, cfg.n_heads, cfg.d_head)
    next_z = _attended(qkv, forward.rotary(weights, cfg, length))
    residual = forward.after_layer(weights, cfg, of.number + 1, residual.view(len(z) * rows, length, -1), next_z)
    residual = forward.run_layers(weights, cfg, residual, of.number + 2, cfg.n_layers)
    return _unembedded(of, residual.unflatten(0, (len(z), rows)), on.against)


def _attended(qkv: Float[Tensor, "batch pos 3 head d_head"], rotary: Rotary | None) -> HeadVectors:
    if rotary is None:
        return forward.attend_packed(qkv)
    query, key, value = qkv.unbind(2)
    return forward.attend(turned(query, rotary), turned(key, rotary), value, 1.0)


def _later(of: Layer, residual: Residual) -> Residual:
    """The final residual stream, of that after the layer's heads."""
    weights, cfg = of.weights, of.cfg
    if of.into_mlp:
        residual = forward.after_mlp(weights, cfg, of.number, residual, residual)
    return forward.run_layers(weights, cfg, residual, of.number + 1, cfg.n_layers)


def _unembedded(of: Layer, residual: Float[Tensor, "chain row pos d_model"], against: Held) -> Float[Tensor, " chain"]:
    final = forward.normalize(of.weights, of.cfg, "ln_final", residual[:, :, :-1])
    return cross_entropy(final.flatten(1, 2), of.weights["unembed.W_U"], None, against, bf16=of.bf16)


def _tokens(of: Layer, values: Float[Tensor, "*chain row pos d"]) -> Float[Tensor, "*chain token d"]:
    """Rows and positions as one axis, without the last position where the logits are read next."""
    return (values[..., :-1, :] if of.into_logits else values).flatten(-3, -2)


def _scale(cfg: HookedTransformerConfig, residual: Residual) -> Float[Tensor, "chain token"] | None:
    """What a norm multiplies a centered token with; None without norms."""
    if cfg.normalization_type is None:
        return None
    return (forward.centred(cfg, residual).square().mean(-1) + cfg.eps).rsqrt()
