"""Composition: how much a head's input weights read from the subspace an earlier head writes to.

    Q: |W_OV1 W_QK2|_F / (|W_OV1|_F |W_QK2|_F)    K: the same with W_QK2^T    V: the same with W_OV2

in the row-vector convention W_OV = W_V W_O, W_QK = W_Q W_K^T (Elhage et al. 2021). No d_model x d_model product is
formed: |A M B|_F^2 = tr(A^T A M B B^T M^T) with d_head x d_head factors. The baseline is the same score of Gaussian
matrices of the same shapes. What a head reads is layer-normed, so its input weights are folded with ln1 (its gain, and
the removal of the mean) unless "raw" is asked for.
"""

from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from transformer_lens import HookedTransformerConfig

from ablations.attention import Weights, head_weights

VIAS = ("q", "k", "v")


class Baseline(NamedTuple):
    """Scores of random matrices: their mean and standard deviation."""

    mean: float
    sd: float


def composition(
    weights: Weights, cfg: HookedTransformerConfig, processing: Literal["folded", "raw"] = "folded"
) -> Float[Tensor, "source_layer source target_layer target via"]:
    """Scores of every pair of heads, via q, k and v; NaN where the source is not in an earlier layer."""
    scores = torch.full((cfg.n_layers, cfg.n_heads, cfg.n_layers, cfg.n_heads, 3), float("nan"))
    for target in range(1, cfg.n_layers):
        reads = head_weights(weights, target)
        q, k, v = (_folded(weights, cfg, target, w, processing) for w in (reads.W_Q, reads.W_K, reads.W_V))
        for source in range(target):
            own = head_weights(weights, source)
            inputs = ((q, k), (k, q), (v, reads.W_O.transpose(1, 2)))
            columns = [_pairs(_folded(weights, cfg, source, own.W_V, processing), own.W_O, *pair) for pair in inputs]
            scores[source, :, target] = torch.stack(columns, -1)
    return scores


def random_baseline(cfg: HookedTransformerConfig, draws: int = 256, seed: int = 0) -> Baseline:
    """The score of a Gaussian W_V, W_O, input and other matrix of this model's shapes, over independent draws."""
    generator = torch.Generator().manual_seed(seed)
    w_v, w_o, read, other = (torch.randn(draws, cfg.d_model, cfg.d_head, generator=generator) for _ in range(4))
    scores = _scores(w_v, w_o.transpose(1, 2), read, other)
    return Baseline(scores.mean().item(), scores.std().item())


def _pairs(w_v: Tensor, w_o: Tensor, read: Tensor, other: Tensor) -> Float[Tensor, "source target"]:
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


def _folded(
    weights: Weights, cfg: HookedTransformerConfig, layer: int, read: Tensor, processing: Literal["folded", "raw"]
) -> Tensor:
    """Input weights [head, d_model, d_head] as they act on the residual stream: after ln1's gain, without the mean."""
    if processing == "raw" or cfg.normalization_type is None:
        return read
    gain = weights.get(f"blocks.{layer}.ln1.w")
    scaled = read if gain is None else read * gain[:, None]
    return scaled - scaled.mean(-2, keepdim=True)
