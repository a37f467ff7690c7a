"""The subspaces of the residual stream that heads write to and read from, and the angles between them.

What is 0 up to rounding is 0: a singular value below the largest times max(rows, columns) times the type's spacing, as
in `numpy.linalg.matrix_rank`.
"""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from ablations.forward import Weights, head_weights
from ablations.models import Config
from ablations.paths import VIAS
from ablations.running import as_in_workers

Processing = Literal["folded", "raw"]


@as_in_workers()
def principal_cosines(
    weights: Weights, cfg: Config
) -> Float[Tensor, "source_layer source target_layer target via d_head"]:
    """Cosines of the principal angles between the subspace a head writes to (rows of W_O) and those that later heads
    read from (columns of W_Q, W_K, W_V as ln1 folds them), largest first; NaN where the source is not earlier.

    Subspaces of fewer than d_head dimensions have as many angles as the smaller of the two has dimensions; in place of
    the others there are zeros, for a direction that is not there is at a right angle to all.
    """
    shape = (cfg.n_layers, cfg.n_heads, cfg.n_layers, cfg.n_heads, len(VIAS), cfg.d_head)
    cosines = torch.full(shape, float("nan"), dtype=weights["embed.W_E"].dtype)
    for target in range(1, cfg.n_layers):
        heads = head_weights(weights, target)
        reads = [_basis(exact(folded(weights, cfg, target, w, "folded"))) for w in (heads.W_Q, heads.W_K, heads.W_V)]
        for source in range(target):
            written = _basis(exact(head_weights(weights, source).W_O).transpose(1, 2))
            for via, read in enumerate(reads):
                overlaps = written.transpose(1, 2)[:, None] @ read[None]
                cosines[source, :, target, :, via] = torch.linalg.svdvals(overlaps).clamp(max=1)
    return cosines


def folded(weights: Weights, cfg: Config, layer: int, read: Tensor, processing: Processing) -> Tensor:
    """Input weights [head, d_model, d_head] as they act on the residual stream: after ln1's gain, without the mean
    (which an RMS norm leaves in).
    """
    if processing == "raw" or cfg.normalization_type is None:
        return read
    gain = weights.get(f"blocks.{layer}.ln1.w")
    scaled = read if gain is None else read * gain[:, None]
    if "RMS" in cfg.normalization_type:
        return scaled
    centred = scaled - scaled.mean(-2, keepdim=True)
    rounding = tolerance(scaled) * scaled.norm(dim=-2, keepdim=True)
    return torch.where(centred.norm(dim=-2, keepdim=True) > rounding, centred, 0.0)  # a constant column reads nothing


def exact(matrices: Tensor) -> Tensor:
    """The same in single precision at least: there are no decompositions in half."""
    return matrices if matrices.dtype in (torch.float32, torch.float64) else matrices.float()


def tolerance(*matrices: Tensor) -> float:
    """The part of a matrix's largest singular value below which another one is rounding."""
    return max(max(each.shape[-2:]) for each in matrices) * torch.finfo(matrices[0].dtype).eps


def _basis(columns: Float[Tensor, "head d_model d_head"]) -> Float[Tensor, "head d_model d_head"]:
    """An orthonormal basis of the columns' span, and columns of zeros for the dimensions that it lacks."""
    vectors, values, _ = torch.linalg.svd(columns, full_matrices=False)
    return vectors * (values > tolerance(columns) * values[:, :1])[:, None]
