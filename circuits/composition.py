"""Composition: how much a head's input weights read from the subspace an earlier head writes to.

    Q: |W_OV1 W_QK2|_F / (|W_OV1|_F |W_QK2|_F)    K: the same with W_QK2^T    V: the same with W_OV2

in the row-vector convention W_OV = W_V W_O, W_QK = W_Q W_K^T (Elhage et al. 2021). No d_model x d_model product is
formed: with the triangular factors of W_V = Q_V R_V and of what is on the other side, |W_V M W^T|_F = |R_V M R^T|_F.
What a head reads is layer-normed, so its input weights are folded with ln1 (its gain, and the removal of the mean)
unless "raw" is asked for.

Zero over zero: a head that writes nothing (W_OV = 0) or does not depend on what it reads (W_QK = 0, W_OV = 0) composes
with nothing, score 0. What is 0 up to rounding is 0: a singular value below the largest times max(rows, columns) times
the type's spacing, as in `numpy.linalg.matrix_rank`. NaN means that there is no such path, and nothing else.

Baselines: the same score of Gaussian matrices of the same shapes (`random_baseline`), and of the same two matrices
turned against each other at random (`spectral_baseline`), whose squared score has mean 1 / d_model whatever they are.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from ablations.forward import Weights, head_weights
from ablations.models import Config
from ablations.not_measurable import NotMeasurable
from ablations.paths import VIAS as VIAS
from ablations.running import as_in_workers
from circuits.subspaces import Processing, exact, folded, tolerance
from circuits.subspaces import principal_cosines as principal_cosines


class Baseline(NamedTuple):
    """Scores of random matrices: their mean and standard deviation."""

    mean: float
    sd: float


class Writes(NamedTuple):
    """What heads write: W_OV = W_V W_O in factors."""

    factor: Float[Tensor, "*head rank d_head"]  # R of W_V = Q R
    W_O: Float[Tensor, "*head d_head d_model"]
    norm: Float[Tensor, "*head"]  # |W_OV|, 0 where that is rounding


class Reads(NamedTuple):
    """What heads read through one input: the product of `weight` with the transpose of another matrix."""

    weight: Float[Tensor, "*head d_model d_head"]
    factor: Float[Tensor, "*head rank d_head"]  # R of the other matrix
    norm: Float[Tensor, "*head"]  # of the product, 0 where that is rounding


@as_in_workers()
def composition(
    weights: Weights, cfg: Config, processing: Processing = "folded"
) -> Float[Tensor, "source_layer source target_layer target via"]:
    """Composition scores of every pair of heads, through q, k and v; NaN where the source is not in an earlier layer.

    Arguments:

        weights     `ablations.forward.weights_of(model)`
        cfg         the model's configuration
        processing  "folded" reads through ln1's gain and without the mean, "raw" takes the weights as they are

    Scores are between 0 and 1 and have no unit; 0 where a head writes nothing, or reads nothing. Held against
    `random_baseline` or `spectral_baseline` they say something, alone they do not. All are NaN in a model of one layer,
    which has no pairs.

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
    writes, reads = zip(*(_layer(weights, cfg, layer, processing) for layer in range(cfg.n_layers)), strict=True)
    for target in range(1, cfg.n_layers):
        for source in range(target):
            every_source = Writes(*(field[:, None] for field in writes[source]))
            columns = [_scores(every_source, Reads(*(field[None] for field in read))) for read in reads[target]]
            scores[source, :, target] = torch.stack(columns, -1)
    return scores


@as_in_workers()
def random_baseline(cfg: Config, draws: int = 256, seed: int = 0) -> Baseline:
    """Mean and standard deviation of the score of Gaussian matrices of this model's shapes, over independent draws."""
    generator = torch.Generator().manual_seed(seed)
    w_v, w_o, read, other = (torch.randn(draws, cfg.d_model, cfg.d_head, generator=generator) for _ in range(4))
    scores = _scores(_writes(w_v, w_o.transpose(1, 2)), _reads(read, other))
    return Baseline(scores.mean().item(), scores.std().item())


@as_in_workers()
def spectral_baseline(
    weights: Weights, cfg: Config, processing: Processing = "folded"
) -> tuple[Float[Tensor, ""], Float[Tensor, "source_layer source target_layer target via"]]:
    """Mean (of every pair) and standard deviation (of each) of the squared score when the two matrices are turned
    against each other by a rotation R drawn uniformly from O(d), d = d_model; their singular values stay.

    With P = A^T A and Q = B B^T, |A R B|^2 = tr(P R Q R^T) has mean tr P tr Q / d and variance 2 tr(P_0^2) tr(Q_0^2) /
    ((d - 1)(d + 2)), P_0 and Q_0 the traceless parts: the traceless symmetric matrices are irreducible under O(d).
    The standard deviation is 0 where no turn changes the score: where a head writes or reads nothing (the mean is 0
    then, too), or all of the stream alike.
    """
    d = cfg.d_model
    sd = torch.full((cfg.n_layers, cfg.n_heads, cfg.n_layers, cfg.n_heads, 3), float("nan"))
    writes, reads = zip(*(_layer(weights, cfg, layer, processing) for layer in range(cfg.n_layers)), strict=True)
    written = [_spread(own.factor @ own.W_O, own.norm, d) for own in writes]
    read = [
        torch.stack([_spread(_triangular(one.weight) @ one.factor.mT, one.norm, d) for one in inputs], -1)
        for inputs in reads
    ]  # by layer [head, via]
    for target in range(1, cfg.n_layers):
        for source in range(target):
            spread = written[source][:, None, None] * read[target]
            sd[source, :, target] = (2 * spread / ((d - 1) * (d + 2))).sqrt()
    return torch.tensor(1 / d), sd


@as_in_workers()
def position_composition(weights: Weights, cfg: Config) -> Float[Tensor, "layer head side"]:
    """How much queries (side 0) and keys (1) read of a shortformer's positions: |W_pos M| / (|W_pos| |M|), M = W_QK or
    its transpose, the same score as between heads. Positions are added after ln1, so nothing is folded.

    Raises NotMeasurable for positions of another kind.
    """
    if cfg.positional_embedding_type != "shortformer":
        raise NotMeasurable(
            f"positions are {cfg.positional_embedding_type!r}: only a shortformer's are apart from the stream"
        )
    places, scores = exact(weights["pos_embed.W_pos"]), torch.empty(cfg.n_layers, cfg.n_heads, 2)
    for layer in range(cfg.n_layers):
        heads = head_weights(weights, layer)
        for side, (weight, other) in enumerate(((heads.W_Q, heads.W_K), (heads.W_K, heads.W_Q))):
            read = _reads(exact(weight), exact(other))
            whole = places.norm() * read.norm
            composed = _product_norm(places @ read.weight, read.factor.mT)
            scores[layer, :, side] = torch.where(whole > 0, composed / whole, 0.0)
    return scores


def _layer(
    weights: Weights, cfg: Config, layer: int, processing: Processing
) -> tuple[Writes, tuple[Reads, Reads, Reads]]:
    """What the heads of a layer write, and what they read through q, k and v."""
    heads = head_weights(weights, layer)
    q, k, v = (exact(folded(weights, cfg, layer, w, processing)) for w in (heads.W_Q, heads.W_K, heads.W_V))
    w_o = exact(heads.W_O)
    return _writes(v, w_o), (_reads(q, k), _reads(k, q), _reads(v, w_o.mT))


def _writes(w_v: Tensor, w_o: Tensor) -> Writes:
    """From W_V [*head, d_model, d_head] and W_O [*head, d_head, d_model]."""
    factor = _triangular(w_v)
    return Writes(factor, w_o, _product_norm(factor, w_o))


def _reads(weight: Tensor, other: Tensor) -> Reads:
    """From two matrices [*head, d_model, d_head], of which the product weight other^T matters."""
    factor = _triangular(other)
    return Reads(weight, factor, _product_norm(_triangular(weight), factor.mT))


def _scores(writes: Writes, reads: Reads) -> Tensor:
    """|W_OV weight other^T| / (|W_OV| |weight other^T|) over leading axes; 0 where either of these is 0."""
    composed = torch.linalg.matrix_norm(writes.factor @ (writes.W_O @ reads.weight) @ reads.factor.mT)
    whole = writes.norm * reads.norm
    return torch.where(whole > 0, composed / whole, 0.0)


def _spread(product: Float[Tensor, "head row column"], norm: Float[Tensor, " head"], d: int) -> Float[Tensor, " head"]:
    """tr(P_0^2) / tr(P)^2 of P = product product^T; norm: the product's, 0 where it is rounding."""
    of_norm_1 = product / torch.where(norm > 0, norm, 1.0)[:, None, None]
    square = torch.linalg.matrix_norm(of_norm_1 @ of_norm_1.mT) ** 2
    spread = torch.where(norm > 0, square - 1 / d, 0.0)
    return torch.where(spread > d * torch.finfo(spread.dtype).eps, spread, 0.0)


def _triangular(weight: Float[Tensor, "*head d_model d_head"]) -> Float[Tensor, "*head rank d_head"]:
    """R of weight = Q R: all of it that a norm of its products depends on."""
    return torch.linalg.qr(weight, mode="r").R


def _product_norm(left: Tensor, right: Tensor) -> Tensor:
    """|left right| (Frobenius); 0 where it is no more than the rounding of its factors."""
    product, one, other = (torch.linalg.matrix_norm(each) for each in (left @ right, left, right))
    return torch.where(product > tolerance(left, right) * one * other, product, 0.0)
