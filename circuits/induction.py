"""The induction circuit as a claim about sets: do the previous-token heads feed the induction heads through their keys?

Cuts every set of as many earlier heads, through q, k and v, and asks how much of the copy gain each removes.
"""

from collections.abc import Sequence
from itertools import combinations, product
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int64
from torch import Tensor
from transformer_lens import HookedTransformerConfig

from ablations.changed_losses import effects
from ablations.changes import Change
from ablations.effects import Estimate, clustered
from ablations.forward import Weights
from ablations.names import Head
from ablations.paths import VIAS, Path, Via
from ablations.substitutes import Substitutes
from circuits.scores import copy_gain


class SetCut(NamedTuple):
    """What cutting a set of heads from the induction heads removes of the copy gain, in nats per token."""

    sources: tuple[Head, ...]
    via: Via
    removed: Estimate
    shortfall: Estimate  # how much less this cut removes than k from the previous-token heads, paired by sequence


def set_cuts(
    weights: Weights,
    cfg: HookedTransformerConfig,
    tokens: Int64[Tensor, "row pos"],
    clusters: np.ndarray,
    previous: Sequence[Head],
    induction: Sequence[Head],
    values: Substitutes,
) -> list[SetCut]:
    """All cuts of sets as large as `previous`, from heads of the same layers, into all of `induction` at once.

    tokens: repeated sequences (one copy after another); clusters: their documents; values: what stands in for the
    sources' z. Sorted by what they remove.
    """
    layers = {layer for layer, _ in previous}
    candidates = [(layer, head) for layer in sorted(layers) for head in range(cfg.n_heads)]
    cuts = list(product(combinations(candidates, len(previous)), VIAS))
    changes = [
        Change(cuts=tuple(Path(source, target, via) for source in sources for target in induction))
        for sources, via in cuts
    ]
    removed = effects(weights, cfg, tokens, changes, negative_copy_gain, values)
    claimed = removed[cuts.index((tuple(sorted(previous)), "k"))]
    found = [
        SetCut(sources, via, clustered(row, clusters), clustered(claimed - row, clusters))
        for (sources, via), row in zip(cuts, removed, strict=True)
    ]
    return sorted(found, key=lambda cut: -cut.removed.value)


def negative_copy_gain(losses: Float[Tensor, "batch predicted"]) -> Float[Tensor, " batch"]:
    """The cost of losing the copy gain, for `ablations.changed_losses.effects` on one copy after another."""
    return -copy_gain(losses, (losses.shape[1] + 1) // 2)
