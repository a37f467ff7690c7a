"""A transformer as pure functions of its weights, equal to its own forward up to fp32 rounding.

Weights are the model's own parameters by their own names (`weights_of`), so that any of them can be replaced, sliced to
one head, or differentiated. Positions may be shortformer (added to what queries and keys read, after the layer norm),
standard (added to the residual stream) or rotary; layers may have MLPs, after attention or beside it.
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from ablations import mlp
from ablations import padding as pads
from ablations.attend import block_attention
from ablations.configuration import unsupported as unsupported
from ablations.models import Config, Model, as_model
from ablations.path_names import Via
from ablations.rotary import Rotary, turned
from ablations.transformer import Transformer

Weights = Mapping[str, Tensor]
Residual = Float[Tensor, "batch pos d_model"]
HeadVectors = Float[Tensor, "batch pos head d_head"]
SIN, COS = "rotary.sin", "rotary.cos"  # [n_ctx, rotary_dim]: not parameters, but weights here
LOGIT_BYTES = 2**29


class Readings(NamedTuple):
    """What the heads of a layer read: queries and keys see the positions of a shortformer, values do not."""

    query: Residual
    key: Residual
    value: Residual
    rotary: Rotary | None = None  # by which queries and keys are turned


class HeadWeights(NamedTuple):
    """The varied part of some heads of a layer, with a leading head axis; b_O belongs to the layer, not a head."""

    W_Q: Float[Tensor, "head d_model d_head"]
    W_K: Float[Tensor, "head d_model d_head"]
    W_V: Float[Tensor, "head d_model d_head"]
    W_O: Float[Tensor, "head d_head d_model"]
    b_Q: Float[Tensor, "head d_head"]
    b_K: Float[Tensor, "head d_head"]
    b_V: Float[Tensor, "head d_head"]


def check_supported(cfg: Config) -> None:
    """Raises ValueError for a model that does not run as these functions."""
    if reason := unsupported(cfg):
        raise ValueError(
            f"not a model these functions can run: {reason}; for any model there are the hooks of heads, paths and "
            "patching"
        )


def parameters_of(model: Model) -> dict[str, Tensor]:
    """The model's parameters by all their names (those of a block that two layers use, by both), detached; not copied,
    but those of a model that was made in inference mode, which have no gradients.
    """
    model = as_model(model)
    own = {id(parameter): _with_gradients(parameter.detach()) for parameter in model.parameters()}
    return {name: own[id(parameter)] for name, parameter in model.named_parameters(remove_duplicate=False)}


def buffers_of(model: Model) -> dict[str, Tensor]:
    """What the model holds beside its parameters, by name; copied as in `parameters_of`."""
    model = as_model(model)
    return {name: _with_gradients(buffer) for name, buffer in model.named_buffers()}


def _with_gradients(tensor: Tensor) -> Tensor:
    return tensor.clone() if tensor.is_inference() else tensor


def weights_of(model: Model) -> dict[str, Tensor]:
    """The model's parameters by name, detached, not copied, with the sines and cosines of rotary positions, and what
    is padding where its tokenizer pads on the left; raises ValueError for one these functions cannot run.
    """
    model = as_model(model)
    cfg, padding = model.cfg, pads.padding_of(model)
    check_supported(cfg)
    weights = parameters_of(model)
    if padding is not None and padding.left:
        weights |= pads.mark(padding)
    if cfg.positional_embedding_type == "rotary":
        weights[SIN], weights[COS] = _angles(model, weights["embed.W_E"])
    return weights


def _angles(model: Model, like: Tensor) -> tuple[Tensor, Tensor]:
    """Sines and cosines of rotary positions, of the type and on the device of a weight."""
    if isinstance(model, Transformer):
        return model.angles()
    cfg = model.cfg  # whose own type model.float() leaves as it was
    of_class = model.blocks[0].attn.calculate_sin_cos_rotary
    sin, cos = of_class(cfg.rotary_dim, cfg.n_ctx, cfg.rotary_base, like.dtype)
    return sin.to(like.device), cos.to(like.device)


def head_weights(weights: Weights, layer: int) -> HeadWeights:
    """All heads of one layer; raises ValueError where they share keys and values."""
    if f"blocks.{layer}.attn._W_K" in weights:
        raise ValueError(f"heads of layer {layer} share keys and values: each needs its own here")
    return HeadWeights(*(weights[f"blocks.{layer}.attn.{name}"] for name in HeadWeights._fields))


def one_head(weights: Weights, layer: int, head: int) -> HeadWeights:
    """One head alone, the head axis kept."""
    return HeadWeights(*(weight[head : head + 1] for weight in head_weights(weights, layer)))


def mlp_reads_heads(cfg: Config) -> bool:
    """Whether a layer's MLP reads what its heads write; no MLP does, or one beside attention."""
    return not (cfg.attn_only or cfg.parallel_attn_mlp)


def mlp_normalises(cfg: Config) -> bool:
    """Whether a layer's MLP has a norm of its own."""
    return not cfg.attn_only and mlp.normalises(cfg)


def rows_at_once(cfg: Config, length: int, most: int = 16) -> int:
    """Rows of this length, at most so many, whose logits fit into LOGIT_BYTES; one at least."""
    return max(1, min(most, LOGIT_BYTES // (length * cfg.d_vocab * 4)))


def check_context(cfg: Config, tokens: Int64[Tensor, "batch pos"]) -> None:
    """Raises ValueError for rows longer than the model's context."""
    if tokens.shape[1] > cfg.n_ctx:
        raise ValueError(f"rows of {tokens.shape[1]} tokens do not fit the model's context of {cfg.n_ctx}: cut them")


def check_tokens(cfg: Config, tokens: Int64[Tensor, "batch pos"]) -> None:
    """Raises ValueError for what is no table of tokens, for none, for rows longer than the model's context, and for
    tokens outside its vocabulary.
    """
    if tokens.ndim != 2 or tokens.dtype != torch.int64:
        raise ValueError(f"tokens are {tokens.dtype} of shape {list(tokens.shape)}: give int64 [row, pos]")
    if tokens.numel() == 0:
        raise ValueError("no tokens: give at least one row")
    check_context(cfg, tokens)
    outside = tokens[(tokens < 0) | (tokens >= cfg.d_vocab)]
    if len(outside):
        raise ValueError(
            f"token {int(outside[0])} is outside the vocabulary of {cfg.d_vocab}: use the model's own tokenizer"
        )


def check_targets(cfg: Config, targets: Int64[Tensor, "*any"]) -> None:
    """Raises ValueError for tokens that the model reads but has no logit for, where they are to be predicted."""
    if cfg.d_vocab_out < cfg.d_vocab and (targets >= cfg.d_vocab_out).any():
        raise ValueError(
            f"token {int(targets[targets >= cfg.d_vocab_out][0])} is to be predicted, and the model has logits for the "
            f"first {cfg.d_vocab_out} of its {cfg.d_vocab} tokens only: take rows in which it is first or not at all"
        )


def embed(weights: Weights, cfg: Config, tokens: Int64[Tensor, "batch pos"]) -> Residual:
    """The residual stream before layer 0; raises ValueError for rows longer than the model's context or padded on the
    left, and for a model that does not run as these functions.
    """
    check_supported(cfg)
    check_context(cfg, tokens)
    if (padding := pads.marked(weights)) is not None and padding.left:
        pads.check_unpadded(padding, tokens, "these functions")
    if cfg.positional_embedding_type == "rotary" and SIN not in weights:
        raise ValueError(f"no {SIN} among the weights of a model with rotary positions: take them by weights_of(model)")
    residual = F.embedding(tokens, weights["embed.W_E"])
    if cfg.positional_embedding_type == "standard":
        residual = residual + weights["pos_embed.W_pos"][: tokens.shape[1]]
    return residual


def normalize(weights: Weights, cfg: Config, name: str, residual: Tensor) -> Tensor:
    """Layer norm `name` ("blocks.0.ln1", "ln_final") of a residual stream [..., d_model]."""
    if cfg.normalization_type is None:
        return residual
    if "RMS" in cfg.normalization_type:
        return normalize_as(weights, cfg, name, residual, like=residual)
    return F.layer_norm(residual, residual.shape[-1:], weights.get(f"{name}.w"), weights.get(f"{name}.b"), cfg.eps)


def normalize_as(weights: Weights, cfg: Config, name: str, residual: Tensor, like: Tensor) -> Tensor:
    """Layer norm `name` of a residual stream, with the scale of another one: the frozen norm of path patching."""
    if cfg.normalization_type is None:
        return residual
    scale = (centred(cfg, like).square().mean(-1, keepdim=True) + cfg.eps).sqrt()
    normalized = centred(cfg, residual) / scale
    if f"{name}.w" in weights:
        normalized = normalized * weights[f"{name}.w"]
    return normalized + weights[f"{name}.b"] if f"{name}.b" in weights else normalized


def centred(cfg: Config, residual: Tensor) -> Tensor:
    """A residual stream, or weights that write to it [..., d_model], without the mean that a layer norm removes."""
    if cfg.normalization_type is None or "RMS" in cfg.normalization_type:
        return residual
    return residual - residual.mean(-1, keepdim=True)


def readings(weights: Weights, cfg: Config, layer: int, residual: Residual) -> Readings:
    """What queries, keys and values of this layer read of a residual stream."""
    return placed(weights, cfg, normalize(weights, cfg, f"blocks.{layer}.ln1", residual))


def placed(weights: Weights, cfg: Config, normalized: Residual) -> Readings:
    """A normalized residual stream, with the positions of a shortformer where they belong."""
    length = normalized.shape[1]
    if cfg.positional_embedding_type != "shortformer":
        return Readings(normalized, normalized, normalized, rotary(weights, cfg, length))
    positioned = normalized + weights["pos_embed.W_pos"][:length]
    return Readings(positioned, positioned, normalized)


def rotary(weights: Weights, cfg: Config, length: int) -> Rotary | None:
    """The angles by which queries and keys of the first positions are turned; None without rotary positions."""
    if cfg.positional_embedding_type != "rotary":
        return None
    return Rotary(weights[SIN][:length], weights[COS][:length], cfg.rotary_adjacent_pairs)


def project(read: Residual, weight: Tensor, bias: Tensor) -> HeadVectors:
    """Queries, keys or values: read @ W + b for every head, as one matrix product."""
    heads, d_model, d_head = weight.shape
    flat = read @ weight.transpose(0, 1).reshape(d_model, heads * d_head)
    return flat.unflatten(-1, (heads, d_head)) + bias.to(flat.dtype)


def received(read: Readings, via: Via, weight: Tensor, bias: Tensor) -> HeadVectors:
    """Queries, keys or values of heads that read this."""
    side = {"q": read.query, "k": read.key, "v": read.value}[via]
    vectors = project(side, weight, bias)
    return vectors if via == "v" else turned(vectors, read.rotary)


def attend(query: HeadVectors, key: HeadVectors, value: HeadVectors, attn_scale: float) -> HeadVectors:
    """z: values averaged by causal attention."""
    if query.dtype == torch.bfloat16:
        return _attend_bf16(query, key, value, float(attn_scale))
    if _by_hand(query):
        return block_attention(torch.stack((query / float(attn_scale), key, value), 2))
    return _attend_whole(query, key, value, 1 / float(attn_scale))


def attend_packed(qkv: Float[Tensor, "batch pos 3 head d_head"]) -> HeadVectors:
    """The same from queries that are scaled already, keys and values side by side."""
    query, key, value = qkv.unbind(2)
    return block_attention(qkv) if _by_hand(qkv) else _attend_whole(query, key, value, 1.0)


def _by_hand(query: Tensor) -> bool:
    return query.device.type == "cpu" and torch.is_grad_enabled() and query.requires_grad


def _attend_whole(query: HeadVectors, key: HeadVectors, value: HeadVectors, scale: float) -> HeadVectors:
    heads_first = (query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2))
    return F.scaled_dot_product_attention(*heads_first, is_causal=True, scale=scale).transpose(1, 2)


def _attend_bf16(query: HeadVectors, key: HeadVectors, value: HeadVectors, attn_scale: float) -> HeadVectors:
    """The same in two blocks of queries, the first of which skips the keys it cannot see.

    On CPUs the backward pass of scaled_dot_product_attention is three times slower than this in bf16.
    """
    length = query.shape[1]
    query, key, value = (query / attn_scale).transpose(1, 2), key.permute(0, 2, 3, 1), value.transpose(1, 2)
    future = torch.full((length, length), float("-inf"), dtype=query.dtype, device=query.device).triu(1)
    blocks = []
    with torch.autocast(query.device.type, enabled=False):
        for start, stop in ((0, length // 2), (length // 2, length)):
            scores = query[:, :, start:stop] @ key[..., :stop] + future[start:stop, :stop]
            blocks.append(scores.softmax(-1) @ value[:, :, :stop])
    return torch.cat(blocks, dim=2).transpose(1, 2)


def patterns(query: HeadVectors, key: HeadVectors, attn_scale: float) -> Float[Tensor, "batch head query_pos key_pos"]:
    """Attention probabilities."""
    scores = query.transpose(1, 2) @ key.permute(0, 2, 3, 1) / attn_scale
    length = scores.shape[-1]
    future = torch.ones(length, length, dtype=torch.bool, device=scores.device).triu(1)
    return scores.masked_fill(future, float("-inf")).softmax(-1)


def head_z(heads: HeadWeights, read: Readings, attn_scale: float) -> HeadVectors:
    """z of these heads."""
    query, key = received(read, "q", heads.W_Q, heads.b_Q), received(read, "k", heads.W_K, heads.b_K)
    return attend(query, key, received(read, "v", heads.W_V, heads.b_V), attn_scale)


def write(z: HeadVectors, W_O: Float[Tensor, "head d_head d_model"]) -> Residual:
    """What heads with these z add to the residual stream (the layer's b_O apart)."""
    return z.flatten(-2) @ W_O.flatten(0, 1)


def after_layer(weights: Weights, cfg: Config, layer: int, residual: Residual, z: HeadVectors) -> Residual:
    """The residual stream after a layer whose heads have these z: what they write, b_O, and what its MLP writes."""
    return after_mlp(weights, cfg, layer, residual, after_heads(weights, layer, residual, z))


def after_heads(weights: Weights, layer: int, residual: Residual, z: HeadVectors) -> Residual:
    """The residual stream with what a layer's heads write, and b_O."""
    return residual + write(z, weights[f"blocks.{layer}.attn.W_O"]) + weights[f"blocks.{layer}.attn.b_O"]


def after_mlp(weights: Weights, cfg: Config, layer: int, before: Residual, residual: Residual) -> Residual:
    """A residual stream with what a layer's MLP, if any, adds to it; before: the stream before the layer."""
    if cfg.attn_only:
        return residual
    read = normalize(weights, cfg, f"blocks.{layer}.ln2", before if cfg.parallel_attn_mlp else residual)
    return residual + mlp.mlp_write(weights, cfg, layer, read)


def run_layers(weights: Weights, cfg: Config, residual: Residual, start: int, stop: int) -> Residual:
    """The residual stream after layers start, ..., stop - 1."""
    for layer in range(start, stop):
        read = readings(weights, cfg, layer, residual)
        residual = after_layer(
            weights, cfg, layer, residual, head_z(head_weights(weights, layer), read, cfg.attn_scale)
        )
    return residual


def last_residual(
    weights: Weights, cfg: Config, tokens: Int64[Tensor, "batch pos"]
) -> Float[Tensor, "batch last d_model"]:
    """The final residual stream at the last token alone, of which the last layer computes no other."""
    layer = cfg.n_layers - 1
    residual = run_layers(weights, cfg, embed(weights, cfg, tokens), 0, layer)
    heads, read = head_weights(weights, layer), readings(weights, cfg, layer, residual)
    query = received(read._replace(query=read.query[:, -1:]), "q", heads.W_Q, heads.b_Q).transpose(1, 2)
    key, value = received(read, "k", heads.W_K, heads.b_K), received(read, "v", heads.W_V, heads.b_V)
    pattern = (query @ key.permute(0, 2, 3, 1) / cfg.attn_scale).softmax(-1)
    z = (pattern @ value.transpose(1, 2)).transpose(1, 2)
    return after_layer(weights, cfg, layer, residual[:, -1:], z)


def unembed(weights: Weights, cfg: Config, residual: Tensor, like: Tensor | None = None) -> Tensor:
    """Logits of a final residual stream [..., d_model], over the vocabulary [..., d_vocab].

    like: another final stream, whose scale the norm takes in place of its own.
    """
    if like is None:
        normalized = normalize(weights, cfg, "ln_final", residual)
    else:
        normalized = normalize_as(weights, cfg, "ln_final", residual, like)
    return normalized @ weights["unembed.W_U"] + weights["unembed.b_U"]


def logits(weights: Weights, cfg: Config, tokens: Int64[Tensor, "batch pos"]) -> Float[Tensor, "batch pos d_vocab"]:
    """The whole model."""
    return unembed(weights, cfg, run_layers(weights, cfg, embed(weights, cfg, tokens), 0, cfg.n_layers))


def token_losses(
    weights: Weights, cfg: Config, residual: Residual, tokens: Int64[Tensor, "batch pos"]
) -> Float[Tensor, "batch predicted"]:
    """Cross-entropy in nats of each next token: entry [b, i] is the loss on tokens[b, i + 1]."""
    predictions = unembed(weights, cfg, residual[:, :-1])
    targets = tokens[:, 1:]
    return F.cross_entropy(predictions.flatten(0, 1), targets.flatten(), reduction="none").view(targets.shape)
