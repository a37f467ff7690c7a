"""The loss as a function of one head's parameters, for many chains of it, on activations that all of them share.

A head adds a term of rank d_head to the residual stream r, and what reads the stream next (the unembedding, or the
next layer's queries, keys and values) is linear up to the norm's scale s of each token:

    read = s (center(r) W) + bias = s (base + z (center(W_O) W)) + bias,    base = center(r without the head) W

so that base is shared and the product with W costs d_head, not d_model, forward and backward, for every chain. Where
the layer's own MLP reads next, there is no such product, and W has no columns. Nothing upstream of the head is computed
again, and no frozen weight gets a gradient.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from ablations import forward
from ablations.forward import HeadVectors, HeadWeights, Readings, Residual, Rotary, Weights, turned
from ablations.models import Config
from llc.cross_entropy import FlatTargets, cross_entropy, flat_targets
from llc.losses import SoftTargets, Targets, Tokens
from llc.scaled_product import scaled_product

Reduction = Callable[..., Tensor]  # `cross_entropy`, the mean of each chain, or `token_losses`, each chain's tokens


class Layer(NamedTuple):
    """A layer whose heads vary, and what reads the residual stream after them: the logits, the next layer's queries
    (scaled), keys and values side by side, or the layer's own MLP (`reader` is empty then).
    """

    weights: Weights
    cfg: Config
    number: int
    reader: Float[Tensor, "d_model read"]  # W, the norm's weight folded in
    bias: Float[Tensor, " read"] | Float[Tensor, "pos read"]  # of logits; of queries, keys and values
    folded: Float[Tensor, "head d_head read"]  # center(W_O) W of the model's own heads
    bf16: bool  # whether the products with the vocabulary take rounded factors

    @property
    def into_mlp(self) -> bool:
        """Whether the layer's own MLP reads what its heads write."""
        return forward.mlp_reads_heads(self.cfg)

    @property
    def into_logits(self) -> bool:
        """Whether the logits are read from the stream next."""
        return self.number == self.cfg.n_layers - 1 and not self.into_mlp


class Part(NamedTuple):
    """Some rows of a minibatch as run with the model's own weights. After the layer rows and positions are one axis,
    `token`, without the last position where only predictions count.
    """

    read: Readings
    z: HeadVectors  # of every head of the layer
    after: Float[Tensor, "token d_model"]  # residual stream after the layer, but for an MLP that reads the heads
    base: Float[Tensor, "token read"]  # center(after) W
    targets: FlatTargets
    loss: Float[Tensor, " one"]  # with the model's own weights


class Varied(NamedTuple):
    """The parameters of one head in every chain, and what the head's output adds to what is read."""

    weights: HeadWeights  # chains stand where a layer's heads do
    folded: Float[Tensor, "chain d_head read"]  # center(W_O) W


class Others(NamedTuple):
    """What a part holds when one head of the layer is left out."""

    residual: Float[Tensor, "token d_model"]  # as `Part.after`
    base: Float[Tensor, "token read"]  # center(residual) W


def prepare_layer(weights: Weights, cfg: Config, number: int, *, bf16: bool = False) -> Layer:
    """Folds norms and weights of what reads the stream after a layer, once for all minibatches.

    Raises ValueError for a model that these functions cannot run (`forward.check_supported`).
    """
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
        projections = (scale * heads.W_Q, heads.W_K, heads.W_V)
        queries, keys, values = (rearrange(W, "head d_model d_head -> d_model (head d_head)") for W in projections)
        reader = torch.cat([queries, keys, values], 1)
        bias = torch.cat([b.flatten() for b in (scale * heads.b_Q, heads.b_K, heads.b_V)]).expand(cfg.n_ctx, -1)
        if cfg.positional_embedding_type == "shortformer":
            positions = weights["pos_embed.W_pos"]
            bias = bias + torch.cat([positions @ queries, positions @ keys, 0 * positions @ values], 1)
    if f"{norm}.b" in weights:
        bias = bias + weights[f"{norm}.b"] @ reader
    if f"{norm}.w" in weights:
        reader = weights[f"{norm}.w"][:, None] * reader
    folded = forward.centred(cfg, weights[f"blocks.{number}.attn.W_O"]) @ reader
    return unread._replace(reader=reader, bias=bias, folded=folded)


def run_part(layer: Layer, tokens: Tokens, prepared: Targets | SoftTargets) -> Part:
    """Runs some rows of a minibatch with the model's own weights."""
    weights, cfg, number = layer.weights, layer.cfg, layer.number
    with torch.no_grad():
        residual = forward.run_layers(weights, cfg, forward.embed(weights, cfg, tokens), 0, number)
        read = forward.readings(weights, cfg, number, residual)
        own = forward.head_weights(weights, number)
        z = forward.head_z(own, read, cfg.attn_scale)
        if layer.into_mlp:
            after = forward.after_heads(weights, number, residual, z)
        else:
            after = forward.after_layer(weights, cfg, number, residual, z)
        flat = _tokens(layer, after)
        base = forward.centred(cfg, flat) @ layer.reader
        targets = flat_targets(prepared, layer.bias if layer.into_logits else weights["unembed.b_U"])
        if layer.into_logits:
            nothing = flat.new_empty(1, len(flat), 0)
            loss = cross_entropy(nothing, nothing.new_empty(0, base.shape[1]), _scale(cfg, flat[None]), targets, base)
        else:
            loss = _unembedded(layer, _later(layer, after)[None], targets)
        return Part(read, z, flat, base, targets, loss)


def varied(layer: Layer, head: int, positions: Float[Tensor, "chain dim"]) -> Varied:
    """Parameters of one head from chains' positions, differentiable in them; once for all parts of a minibatch."""
    shapes = [w.shape[1:] for w in forward.head_weights(layer.weights, layer.number)]
    slices = positions.split([shape.numel() for shape in shapes], 1)
    weights = HeadWeights(*(values.view(-1, *shape) for values, shape in zip(slices, shapes, strict=True)))
    return Varied(weights, forward.centred(layer.cfg, weights.W_O) @ layer.reader)


def without(layer: Layer, part: Part, head: int) -> Others:
    """Leaves one head of the layer out; once for all its chains."""
    with torch.no_grad():
        z = _tokens(layer, part.z[:, :, head])
        W_O = layer.weights[f"blocks.{layer.number}.attn.W_O"][head]
        return Others(part.after - z @ W_O, torch.addmm(part.base, z, layer.folded[head], alpha=-1))


def loss(
    layer: Layer, part: Part, others: Others, head: Varied, of: Reduction = cross_entropy
) -> Float[Tensor, " chain"] | Float[Tensor, "chain predicted"]:
    """The mean loss of these rows with each chain's parameters for the head, in nats; differentiable in them. With
    `of=token_losses` that of each token in turn, without a gradient.
    """
    weights, cfg = layer.weights, layer.cfg
    # [row, pos, chain, d_head] -> [chain, token, d_head]
    z = _tokens(layer, forward.head_z(head.weights, part.read, cfg.attn_scale).movedim(2, 0))
    residual = torch.baddbmm(others.residual.expand(len(z), -1, -1), z, head.weights.W_O)
    rows, length = part.z.shape[:2]
    if layer.into_mlp:
        final = _later(layer, residual.view(len(z) * rows, length, -1))
        return _unembedded(layer, final.unflatten(0, (len(z), rows)), part.targets, of)
    scale = _scale(cfg, residual)
    if layer.into_logits:
        return of(z, head.folded, scale, part.targets, others.base, bf16=layer.bf16)
    projected = scaled_product(z, head.folded, scale, others.base, layer.bias[:length])
    qkv = projected.view(len(z) * rows, length, 3, cfg.n_heads, cfg.d_head)
    next_z = _attended(qkv, forward.rotary(weights, cfg, length))
    residual = forward.after_layer(weights, cfg, layer.number + 1, residual.view(len(z) * rows, length, -1), next_z)
    residual = forward.run_layers(weights, cfg, residual, layer.number + 2, cfg.n_layers)
    return _unembedded(layer, residual.unflatten(0, (len(z), rows)), part.targets, of)


def _attended(qkv: Float[Tensor, "batch pos 3 head d_head"], rotary: Rotary | None) -> HeadVectors:
    """z of heads with these queries (scaled), keys and values."""
    if rotary is None:
        return forward.attend_packed(qkv)
    query, key, value = qkv.unbind(2)
    return forward.attend(turned(query, rotary), turned(key, rotary), value, 1.0)


def _later(layer: Layer, residual: Residual) -> Residual:
    """The final residual stream, run on from the one after the layer's heads."""
    weights, cfg = layer.weights, layer.cfg
    if layer.into_mlp:
        residual = forward.after_mlp(weights, cfg, layer.number, residual, residual)
    return forward.run_layers(weights, cfg, residual, layer.number + 1, cfg.n_layers)


def _unembedded(
    layer: Layer,
    residual: Float[Tensor, "chain row pos d_model"],
    targets: FlatTargets,
    of: Reduction = cross_entropy,
) -> Float[Tensor, " chain"] | Float[Tensor, "chain predicted"]:
    """The loss of each chain, from its final residual stream."""
    final = forward.normalize(layer.weights, layer.cfg, "ln_final", residual[:, :, :-1])
    return of(final.flatten(1, 2), layer.weights["unembed.W_U"], None, targets, bf16=layer.bf16)


def _tokens(layer: Layer, values: Float[Tensor, "*chain row pos d"]) -> Float[Tensor, "*chain token d"]:
    """Rows and positions as one axis, without the last position where the logits are read next."""
    return (values[..., :-1, :] if layer.into_logits else values).flatten(-3, -2)


def _scale(cfg: Config, residual: Residual) -> Float[Tensor, "chain token"] | None:
    """The factor by which a norm multiplies each centered token; None in a model without norms."""
    if cfg.normalization_type is None:
        return None
    return (forward.centred(cfg, residual).square().mean(-1) + cfg.eps).rsqrt()
