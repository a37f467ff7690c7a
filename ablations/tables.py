"""Many interventions on the same text: the effect of each on every sequence, over shared clean runs."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor
from transformer_lens import HookedTransformerConfig

from ablations import attention, rerun
from ablations.attention import Weights
from ablations.names import Head, all_heads
from ablations.paths import VIAS, Path

# Cost of each sequence from its token losses [batch, predicted]: what an intervention that removes a helpful part
# raises.
Cost = Callable[[Float[Tensor, "batch predicted"]], Float[Tensor, " batch"]]


class Change(NamedTuple):
    """One intervention: heads whose z is replaced, and paths that are cut."""

    replaced: Mapping[Head, Tensor] = {}  # z by head: [d_head], or [row, pos, d_head] with a row for each sequence
    cuts: tuple[Path, ...] = ()


def effects(
    weights: Weights,
    cfg: HookedTransformerConfig,
    tokens: Int64[Tensor, "row pos"],
    changes: Sequence[Change],
    cost: Cost,
    values: Mapping[Head, Tensor] | None = None,
    rows_at_once: int = 16,
) -> Float[np.ndarray, "change row"]:
    """cost(changed) - cost(clean) of every sequence; positive means that the part helps.

    values: the z put in place of a cut source's; zero when not given.
    """
    result = np.empty((len(changes), len(tokens)))
    with torch.no_grad():
        for start in range(0, len(tokens), rows_at_once):
            rows = slice(start, start + rows_at_once)
            clean = rerun.clean_run(weights, cfg, tokens[rows])
            before = cost(attention.token_losses(weights, cfg, clean.residuals[-1], clean.tokens))
            for number, change in enumerate(changes):
                replaced = {head: value[rows] if value.ndim == 3 else value for head, value in change.replaced.items()}
                residual = rerun.final_residual(weights, cfg, clean, replaced, change.cuts, values)
                after = cost(attention.token_losses(weights, cfg, residual, clean.tokens))
                result[number, rows] = (after - before).double().numpy()
    return result


def mean_z(weights: Weights, cfg: HookedTransformerConfig, reference: Int64[Tensor, "row pos"]) -> dict[Head, Tensor]:
    """z of every head [d_head], averaged over all tokens of a reference text."""
    with torch.no_grad():
        z = rerun.clean_run(weights, cfg, reference).z
    return {(layer, head): z[layer][:, :, head].mean((0, 1)) for layer, head in all_heads(cfg)}


def all_paths(cfg: HookedTransformerConfig) -> list[Path]:
    """Every direct path between heads: source by source, then target, then via."""
    heads = all_heads(cfg)
    return [Path(source, target, via) for source in heads for target in heads if source[0] < target[0] for via in VIAS]
