"""Composition: how much a head's input weights read from the subspace an earlier head writes to.

    Q: |W_OV1 W_QK2|_F / (|W_OV1|_F |W_QK2|_F)    K: the same with W_QK2^T    V: the same with W_OV2

in the row-vector convention W_OV = W_V W_O, W_QK = W_Q W_K^T (Elhage et al. 2021). No d_model x d_model product is
formed: |A M B|_F^2 = tr(A^T A M B B^T M^T) with d_head x d_head factors. What a head reads is layer-normed, so its
input weights are folded with ln1 (its gain, and the removal of the mean) unless "raw" is asked for.

Baselines: the same score of Gaussian matrices of the same shapes (`random_baseline`), and of the same two matrices
turned against each other at random (`spectral_baseline`), whose squared score has mean 1 / d_model whatever they are.
"""

from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from transformer_lens import HookedTransformerConfig

from ablations.forward import Weights, head_weights
from ablations.not_measurable import NotMeasurable

VIAS = ("q", "k", "v")


class Baseline(NamedTuple):
    """Scores of random matrices: their mean and standard deviation."""

    mean: float
    sd: float


def composition(
    weights: Weights, cfg: HookedTransformerConfig, processing: Literal["folded", "raw"] = "folded"
) -> Float[Tensor, "source_layer source target_layer target via"]:
    """Composition scores of every pair of heads, through q, k and v; NaN where the source is not in an earlier layer.

    Arguments:

        weights     `ablations.forward.weights_of(model)`
        cfg         the model's configuration
        processing  "folded" reads through ln1's gain and without the mean, "raw" takes the weights as they are

    Scores are between 0 and 1 and have no unit. Held against `random_baseline` or `spectral_baseline` they say
    something, alone they do not. All are NaN in a model of one layer, which has no pairs.

    Example:

        >>> from ablations import forward
        >>> from circuits import composition, planted
        >>> model = planted.induction().model
        >>> scores = composition.composition(forward.weights_of(model), model.cfg)
        >>> round(float(scores[0, 1, 1, 2, composition.VIAS.index("k")]), 2)  # L0H1 -> L1H2 through keys
        0.2
        >>> round(composition.random_baseline(model.cfg).mean, 2)
        0.1
    """
    scores = torch.full((cfg.n_layers, cfg.n_heads, cfg.n_layers, cfg.n_heads, 3), float("nan"))
    for target in range(1, cfg.n_layers):
        reads = head_weights(weights, target)
        q, k, v = (folded(weights, cfg, target, w, processing) for w in (reads.W_Q, reads.W_K, reads.W_V))
        for source in range(target):
            own = head_weights(weights, source)
            inputs = ((q, k), (k, q), (v, reads.W_O.transpose(1, 2)))
            columns = [_pairs(folded(weights, cfg, source, own.W_V, processing), own.W_O, *pair) for pair in inputs]
            scores[source, :, target] = torch.stack(columns, -1)
    return scores


def random_baseline(cfg: HookedTransformerConfig, draws: int = 256, seed: int = 0) -> Baseline:
    """Mean and standard deviation of the score of Gaussian matrices of this model's shapes, over independent draws."""
    generator = torch.Generator().manual_seed(seed)
    w_v, w_o, read, other = (torch.randn(draws, cfg.d_model, cfg.d_head, generator=generator) for _ in range(4))
    scores = _scores(w_v, w_o.transpose(1, 2), read, other)
    return Baseline(scores.mean().item(), scores.std().item())


def spectral_baseline(
    weights: Weights, cfg: HookedTransformerConfig, processing: Literal["folded", "raw"] = "folded"
) -> tuple[Float[Tensor, ""], Float[Tensor, "source_layer source target_layer target via"]]:
    """Mean (of every pair) and standard deviation (of each) of the squared score when the two matrices are turned
    against each other by a rotation R drawn uniformly from O(d), d = d_model; their singular values stay.

    With P = A^T A and Q = B B^T, |A R B|^2 = tr(P R Q R^T) has mean tr P tr Q / d and variance 2 tr(P_0^2) tr(Q_0^2) /
    ((d - 1)(d + 2)), P_0 and Q_0 the traceless parts: the traceless symmetric matrices are irreducible under O(d).
    """
    d = cfg.d_model
    sd = torch.full((cfg.n_layers, cfg.n_heads, cfg.n_layers, cfg.n_heads, 3), float("nan"))
    spread = []  # tr(P_0^2) / tr(P)^2 of what heads write, and of their q, k and v readings
    for layer in range(cfg.n_layers):
        heads = head_weights(weights, layer)
        q, k, v, own = (
            folded(weights, cfg, layer, w, processing) for w in (heads.W_Q, heads.W_K, heads.W_V, heads.W_V)
        )
        w_o = heads.W_O.transpose(1, 2)
        spread.append([_spread(*pair, d) for pair in ((w_o, own), (q, k), (k, q), (v, w_o))])
    for target in range(1, cfg.n_layers):
        reads = torch.stack(spread[target][1:], -1)  # [target, via]
        for source in range(target):
            sd[source, :, target] = (2 * spread[source][0][:, None, None] * reads / ((d - 1) * (d + 2))).sqrt()
    return torch.tensor(1 / d), sd


def principal_cosines(
    weights: Weights, cfg: HookedTransformerConfig
) -> Float[Tensor, "source_layer source target_layer target via d_head"]:
    """Cosines of the principal angles between the subspace a head writes to (rows of W_O) and those that later heads
    read from (columns of W_Q, W_K, W_V as ln1 folds them), largest first; NaN where the source is not earlier.
    """
    shape = (cfg.n_layers, cfg.n_heads, cfg.n_layers, cfg.n_heads, len(VIAS), cfg.d_head)
    cosines = torch.full(shape, float("nan"), dtype=weights["embed.W_E"].dtype)
    for target in range(1, cfg.n_layers):
        heads = head_weights(weights, target)
        reads = [_basis(folded(weights, cfg, target, w, "folded")) for w in (heads.W_Q, heads.W_K, heads.W_V)]
        for source in range(target):
            written = _basis(head_weights(weights, source).W_O.transpose(1, 2))
            for via, read in enumerate(reads):
                overlaps = written.transpose(1, 2)[:, None] @ read[None]
                cosines[source, :, target, :, via] = torch.linalg.svdvals(overlaps).clamp(max=1)
    return cosines


def position_composition(weights: Weights, cfg: HookedTransformerConfig) -> Float[Tensor, "layer head side"]:
    """How much queries (side 0) and keys (1) read of a shortformer's positions: |W_pos M| / (|W_pos| |M|), M = W_QK or
    its transpose, the same score as between heads. Positions are added after ln1, so nothing is folded.

    Raises NotMeasurable for positions of another kind.
    """
    if cfg.positional_embedding_type != "shortformer":
        raise NotMeasurable(
            f"positions are {cfg.positional_embedding_type!r}: only a shortformer's are apart from the stream"
        )
    places, scores = weights["pos_embed.W_pos"], torch.empty(cfg.n_layers, cfg.n_heads, 2)
    for layer in range(cfg.n_layers):
        heads = head_weights(weights, layer)
        for side, (read, other) in enumerate(((heads.W_Q, heads.W_K), (heads.W_K, heads.W_Q))):
            outer = other.transpose(1, 2) @ other
            composed = _trace((places @ read).transpose(1, 2) @ (places @ read), outer)
            whole = places.pow(2).sum() * _trace(read.transpose(1, 2) @ read, outer)
            scores[layer, :, side] = (composed / whole).sqrt()
    return scores


def _spread(outer: Tensor, inner: Tensor, d: int) -> Float[Tensor, " head"]:
    """tr(P_0^2) / tr(P)^2 of P = outer inner^T inner outer^T, from d_head x d_head factors."""
    gram = outer.transpose(1, 2) @ outer @ (inner.transpose(1, 2) @ inner)
    trace = gram.diagonal(dim1=-2, dim2=-1).sum(-1)
    return _trace(gram.transpose(1, 2), gram) / trace**2 - 1 / d


def _basis(columns: Float[Tensor, "head d_model d_head"]) -> Float[Tensor, "head d_model d_head"]:
    """An orthonormal basis of the columns' span."""
    return torch.linalg.qr(columns).Q


def _pairs(w_v: Tensor, w_o: Tensor, read: Tensor, other: Tensor) -> Float[Tensor, "source target"]:
    """`_scores` of every source with every target."""
    return _scores(w_v[:, None], w_o[:, None], read[None], other[None])


def _scores(w_v: Tensor, w_o: Tensor, read: Tensor, other: Tensor) -> Tensor:
    """|W_V W_O R S^T| / (|W_V W_O| |R S^T|) over leading axes; w_v, w_o^T, read, other [..., d_model, d_head]."""
    middle = w_o @ read
    values, outer = w_v.transpose(-1, -2) @ w_v, other.transpose(-1, -2) @ other
    composed = _trace(values @ middle, middle @ outer)
    written = _trace(values, w_o @ w_o.transpose(-1, -2))
    inputs = _trace(read.transpose(-1, -2) @ read, outer)
    return (composed / (written * inputs)).sqrt()


def _trace(a: Tensor, b: Tensor) -> Tensor:
    """tr(A^T B)."""
    return (a * b).sum((-1, -2))


def folded(
    weights: Weights, cfg: HookedTransformerConfig, layer: int, read: Tensor, processing: Literal["folded", "raw"]
) -> Tensor:
    """Input weights [head, d_model, d_head] as they act on the residual stream: after ln1's gain, without the mean
    (which an RMS norm leaves in).
    """
    if processing == "raw" or cfg.normalization_type is None:
        return read
    gain = weights.get(f"blocks.{layer}.ln1.w")
    scaled = read if gain is None else read * gain[:, None]
    return scaled if "RMS" in cfg.normalization_type else scaled - scaled.mean(-2, keepdim=True)
