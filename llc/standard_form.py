"""The same function with a layer's norm folded into its heads, and the residual stream at a standard scale.

What a layer computes does not say how the rest of the model is written: a norm's weights may stand in it or in what
reads it, a layer norm ignores what all coordinates share, biases of values may stand in b_O, positions may have any
mean, and the whole residual stream may be multiplied by a number. A learning coefficient depends on all of it, for the
localization measures distances in the weights. `standardise` fixes them, so that what is left is the head's own.
"""

import math
from collections.abc import Iterable

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ablations import forward
from ablations.models import Model, set_eps
from ablations.not_measurable import NotMeasurable

ROWS, AT_ONCE = 256, 16  # rows that the scale of the residual stream is measured on, at most
READERS = ("attn.W_Q", "attn.W_K", "attn.W_V", "mlp.W_in", "mlp.W_gate")
WRITERS = ("attn.W_O", "attn.b_O", "mlp.W_out", "mlp.b_out")

Weights = dict[str, Tensor]


def standardise(model: Model, tokens: Int64[Tensor, "row pos"], layer: int) -> None:
    """Changes a model in place, and not what it computes, such that in this layer

    - the norm has no bias, and its weights are 1 or -1. Under shortformer positions, which queries and keys read beside
      the norm, a coordinate's weight and the root mean square of its positions have squares that sum to 1, and the
      mean over positions is 0;
    - queries, keys and values read nothing of the direction that a layer norm empties (under shortformer positions
      values alone: queries and keys see positions there), and W_O writes nothing that a layer norm removes;
    - value biases are 0, what they wrote is in b_O;
    - the residual stream that the layer reads, centred where the norm centres, has root mean square 1 over the tokens,
      of which at most 256 rows are taken, evenly spaced.

    The choice is ours; any other would do that fixes the same freedoms. Raises NotMeasurable for MLPs that have a norm
    of their own, whose eps would change with the scale, and where the layer reads nothing but zeros.
    """
    cfg = model.cfg
    if forward.mlp_normalises(cfg):
        raise NotMeasurable(
            "MLPs with a norm of their own keep the residual stream at its scale: use the trained gauge"
        )
    own, shortformer = f"blocks.{layer}", cfg.positional_embedding_type == "shortformer"
    blocks = [f"blocks.{number}" for number in range(cfg.n_layers)] if shortformer else [own]
    changed = {
        name: parameter
        for name, parameter in model.named_parameters()
        if name.startswith(tuple(f"{block}.{part}." for block in blocks for part in ("attn", "ln1")))
        or (shortformer and name == "pos_embed.W_pos")
    }
    weights = {name: parameter.data.to(torch.float64, copy=True) for name, parameter in changed.items()}
    for block in blocks:
        if f"{block}.ln1.b" in weights:
            _move_bias(weights, block, weights[f"{block}.ln1.b"], "QKV")
            weights[f"{block}.ln1.b"].zero_()
    if shortformer:
        mean = weights["pos_embed.W_pos"][: tokens.shape[1]].mean(0)
        weights["pos_embed.W_pos"] -= mean
        for block in blocks:
            _move_bias(weights, block, mean, "QK")
    if f"{own}.ln1.w" in weights:
        _fold(weights, blocks, own, tokens.shape[1])
    if cfg.normalization_type in ("LN", "LNPre"):
        _centre(weights, own, "V" if shortformer else "QKV")
    weights[f"{own}.attn.b_O"] += torch.einsum("hd,hdm->m", weights[f"{own}.attn.b_V"], weights[f"{own}.attn.W_O"])
    weights[f"{own}.attn.b_V"].zero_()
    for name, parameter in changed.items():
        parameter.data = weights[name].to(parameter.dtype)
    _rescale(model, 1 / _root_mean_square(model, tokens, layer))


def _move_bias(weights: Weights, block: str, added: Float[Tensor, " d_model"], readers: str) -> None:
    """Puts what is added to all that some of the layer's weights read into their biases."""
    for name in readers:
        weights[f"{block}.attn.b_{name}"] += torch.einsum("m,hmd->hd", added, weights[f"{block}.attn.W_{name}"])


def _fold(weights: Weights, blocks: Iterable[str], own: str, length: int) -> None:
    """Divides each coordinate that the layer `own` reads by its size, and multiplies what its readers take of it."""
    squares = weights[f"{own}.ln1.w"].square()
    if "pos_embed.W_pos" in weights:
        squares = squares + weights["pos_embed.W_pos"][:length].square().mean(0)
    size = torch.where(squares == 0, 1.0, squares.sqrt())  # of a coordinate of size 0 nothing is read
    if "pos_embed.W_pos" in weights:
        weights["pos_embed.W_pos"] /= size
    for block in blocks:
        weights[f"{block}.ln1.w"] /= size
        for name in "QKV":
            weights[f"{block}.attn.W_{name}"] *= size[:, None]


def _centre(weights: Weights, own: str, readers: str) -> None:
    """Takes out of what reads a layer norm the direction that is empty in it, and out of W_O what norms remove.

    What is normalised sums to 0, so with weights w it has no part along 1 / w; and none in coordinates whose weight
    is 0.
    """
    output = weights[f"{own}.attn.W_O"]
    output -= output.mean(-1, keepdim=True)
    w = weights.get(f"{own}.ln1.w", torch.ones_like(output[0, 0]))
    unread = w == 0
    empty = torch.eye(len(w)).to(w)[unread] if unread.any() else ((1 / w) / (1 / w).norm())[None]
    for name in readers:
        reader = weights[f"{own}.attn.W_{name}"]
        reader -= torch.einsum("em,hmd,en->hnd", empty, reader, empty)


def _root_mean_square(model: Model, tokens: Int64[Tensor, "row pos"], layer: int) -> float:
    """Of the residual stream that the layer reads, over the tokens."""
    weights, cfg = forward.weights_of(model), model.cfg
    rows = tokens[torch.linspace(0, len(tokens) - 1, min(ROWS, len(tokens))).round().long()]
    total = 0.0
    for some in rows.to(model.W_E.device).split(AT_ONCE):
        residual = forward.run_layers(weights, cfg, forward.embed(weights, cfg, some), 0, layer)
        total += forward.centred(cfg, residual).double().square().mean(-1).sum().item()
    if not total > 0:
        raise NotMeasurable(f"layer {layer} reads nothing but zeros on this text: its heads have no balanced gauge")
    return math.sqrt(total / rows.numel())


def _rescale(model: Model, factor: float) -> None:
    """Multiplies the residual stream by a factor: what writes to it, and the eps of its norms, or, in a model without
    norms, divides what reads it.
    """
    cfg = model.cfg
    writers = ["embed.W_E"] + ["pos_embed.W_pos"] * (cfg.positional_embedding_type == "standard")
    writers += [f"blocks.{layer}.{name}" for layer in range(cfg.n_layers) for name in WRITERS]
    if cfg.normalization_type is None:
        readers = ["unembed.W_U"] + [f"blocks.{layer}.{name}" for layer in range(cfg.n_layers) for name in READERS]
        writers += ["pos_embed.W_pos"] * (cfg.positional_embedding_type == "shortformer")
    else:
        readers = []
        set_eps(model, cfg.eps * factor**2)
    for name, parameter in model.named_parameters():
        if name in writers:
            parameter.data = parameter.data * factor  # in memory of its own: an unembedding may be the embedding
        elif name in readers:
            parameter.data = parameter.data / factor
