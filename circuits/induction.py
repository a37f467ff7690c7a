"""The induction circuit as a claim about sets: do the previous-token heads feed the induction heads through their keys?

Cuts every set of as many earlier heads, through q, k and v, and asks how much of the copy gain each removes.
"""

import math
from collections.abc import Sequence
from itertools import combinations, product
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ablations import forward
from ablations.changed_losses import effects
from ablations.changes import Change
from ablations.effects import Estimate, clustered
from ablations.forward import Weights
from ablations.models import Config
from ablations.names import Head
from ablations.paths import VIAS, Path, Via
from ablations.rerun import Clean
from ablations.substitutes import Substitutes, Values
from circuits.scores import copy_gain, prefix_matching

MOST_SETS = 2000  # that are cut: three heads of three layers of twelve can be chosen in 7,140 ways


class SetCut(NamedTuple):
    """What cutting a set of heads from the induction heads removes of the copy gain, in nats per token."""

    sources: tuple[Head, ...]
    via: Via
    removed: Estimate
    shortfall: Estimate  # how much less this cut removes than k from the previous-token heads, paired by sequence


def set_cuts(
    weights: Weights,
    cfg: Config,
    tokens: Int64[Tensor, "row pos"],
    clusters: np.ndarray,
    previous: Sequence[Head],
    induction: Sequence[Head],
    values: Substitutes,
) -> list[SetCut]:
    """All cuts of sets (`same_size_sets`) as large as `previous`, into all of `induction` at once.

    tokens: repeated sequences (one copy after another); clusters: their documents; values: what stands in for the
    sources' z. Sorted by what they remove.
    """
    cuts = list(product(same_size_sets(previous, cfg), VIAS))
    changes = [
        Change(cuts=tuple(Path(source, target, via) for source in sources for target in induction))
        for sources, via in cuts
    ]
    removed = effects(weights, cfg, tokens, changes, negative_copy_gain, values)
    claimed = removed[cuts.index((tuple(sorted(previous)), "k"))]
    measured = [
        SetCut(sources, via, clustered(row, clusters), clustered(claimed - row, clusters))
        for (sources, via), row in zip(cuts, removed, strict=True)
    ]
    return sorted(measured, key=lambda cut: -cut.removed.value)


def same_size_sets(heads: Sequence[Head], cfg: Config) -> list[tuple[Head, ...]]:
    """All sets of as many heads as these, from the layers that these are in; these themselves are among them.

    Of more than MOST_SETS, as in models of many layers, so many are drawn at random.
    """
    layers = sorted({layer for layer, _ in heads})
    every = [(layer, head) for layer in layers for head in range(cfg.n_heads)]
    if math.comb(len(every), len(heads)) <= MOST_SETS:
        return list(combinations(every, len(heads)))
    stream, sets = np.random.default_rng(0), {tuple(sorted(heads))}
    while len(sets) < MOST_SETS:
        sets.add(tuple(every[place] for place in sorted(stream.choice(len(every), len(heads), replace=False))))
    return sorted(sets)


def matching_attention(
    weights: Weights,
    cfg: Config,
    clean: Clean,
    cuts: Sequence[tuple[tuple[Head, ...], str]],
    targets: Sequence[Head],
    values: Values,
) -> Float[Tensor, "cut row"]:
    """Mean prefix-matching attention of the targets on one copy after another, under each cut (sources, via).

    clean: the run on repeated sequences; values: what stands in for the sources' z. A target's own direct paths are
    cut, from the clean run: what sources tell it through heads between them stays. Each entry is between 0 and 1.
    """
    period = clean.tokens.shape[1] // 2
    attention = clean.residuals[0].new_zeros(len(cuts), len(clean.tokens))
    lost = {  # what each source writes in the clean run, less what its substitute writes
        (layer, head): (clean.z[layer][:, :, head] - values[layer, head]) @ weights[f"blocks.{layer}.attn.W_O"][head]
        for layer, head in {source for sources, _ in cuts for source in sources}
    }
    for number, (sources, via) in enumerate(cuts):
        for layer, head in targets:
            target = forward.one_head(weights, layer, head)
            residual = clean.residuals[layer]
            cut = residual - sum((lost[source] for source in sources), torch.zeros(()))
            read = {name: forward.readings(weights, cfg, layer, cut if via == name else residual) for name in "qk"}
            query = forward.received(read["q"], "q", target.W_Q, target.b_Q)
            key = forward.received(read["k"], "k", target.W_K, target.b_K)
            pattern = forward.patterns(query, key, cfg.attn_scale)
            attention[number] += prefix_matching(pattern, period)[:, 0] / len(targets)
    return attention


def negative_copy_gain(losses: Float[Tensor, "batch predicted"]) -> Float[Tensor, " batch"]:
    """The cost of losing the copy gain, for `ablations.changed_losses.effects` on one copy after another."""
    return -copy_gain(losses, (losses.shape[1] + 1) // 2)
