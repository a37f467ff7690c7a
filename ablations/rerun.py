"""Replaced heads and cut paths of an attention-only model, re-running only what they change.

The clean run is computed once and shared: an intervention starts at the first layer it touches. Equal to the hooks of
`heads.replace` and `paths.cut` (recomputed layer norm) on the same model up to rounding, and many times faster.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from transformer_lens import HookedTransformerConfig

from ablations import attention
from ablations.attention import HeadWeights, Readings, Residual, Weights
from ablations.names import Head
from ablations.paths import Path


class Clean(NamedTuple):
    """One run of the model on some text."""

    tokens: Int64[Tensor, "batch pos"]
    residuals: list[Residual]  # before layer 0, ..., before layer n_layers - 1, final
    z: list[Float[Tensor, "batch pos head d_head"]]  # by layer


def clean_run(weights: Weights, cfg: HookedTransformerConfig, tokens: Int64[Tensor, "batch pos"]) -> Clean:
    """Runs the model and keeps what interventions share."""
    residuals, z = [attention.embed(weights, cfg, tokens)], []
    for layer in range(cfg.n_layers):
        heads = attention.head_weights(weights, layer)
        z.append(attention.head_z(heads, attention.readings(weights, cfg, layer, residuals[-1]), cfg.attn_scale))
        residuals.append(residuals[-1] + attention.write(z[-1], heads.W_O) + weights[f"blocks.{layer}.attn.b_O"])
    return Clean(tokens, residuals, z)


def final_residual(
    weights: Weights,
    cfg: HookedTransformerConfig,
    clean: Clean,
    replaced: Mapping[Head, Tensor] | None = None,
    cuts: Iterable[Path] = (),
    values: Mapping[Head, Tensor] | None = None,
) -> Residual:
    """The residual stream before the final norm, with these heads' z replaced and these paths cut.

    values: the z that stands in for a cut source's, as in `paths.cut`; zero when not given.
    """
    replaced, cuts = replaced or {}, list(cuts)
    first = min([head[0] for head in replaced] + [path.target[0] for path in cuts], default=cfg.n_layers)
    residual, z = clean.residuals[first], list(clean.z)
    for layer in range(first, cfg.n_layers):
        heads = attention.head_weights(weights, layer)
        if layer > first:
            z[layer] = attention.head_z(heads, attention.readings(weights, cfg, layer, residual), cfg.attn_scale)
        changed = z[layer].clone()
        for target in {path.target[1] for path in cuts if path.target[0] == layer}:
            into = [path for path in cuts if path.target == (layer, target)]
            changed[:, :, target] = _z_with_cuts(weights, cfg, residual, z, into, values or {})
        for (at, head), value in replaced.items():
            if at == layer:
                changed[:, :, head] = value
        z[layer] = changed
        residual = residual + attention.write(changed, heads.W_O) + weights[f"blocks.{layer}.attn.b_O"]
    return residual


def _z_with_cuts(
    weights: Weights,
    cfg: HookedTransformerConfig,
    residual: Residual,
    z: list[Tensor],
    cuts: list[Path],
    values: Mapping[Head, Tensor],
) -> Float[Tensor, "batch pos d_head"]:
    """z of one target head whose queries, keys and values miss the sources that are cut from each."""
    layer, head = cuts[0].target
    target = HeadWeights(*(w[head : head + 1] for w in attention.head_weights(weights, layer)))
    seen: dict[frozenset[Head], Readings] = {}

    def reading(via: str) -> Readings:
        sources = frozenset(path.source for path in cuts if path.via == via)
        if sources not in seen:
            missing = [_written(weights, z, source, values) for source in sorted(sources)]
            seen[sources] = attention.readings(weights, cfg, layer, residual - sum(missing) if missing else residual)
        return seen[sources]

    read = Readings(reading("q").query, reading("k").key, reading("v").value)
    return attention.head_z(target, read, cfg.attn_scale)[:, :, 0]


def _written(weights: Weights, z: list[Tensor], source: Head, values: Mapping[Head, Tensor]) -> Tensor:
    layer, head = source
    lost = z[layer][:, :, head] - values.get(source, torch.zeros((), dtype=z[layer].dtype))
    return lost @ weights[f"blocks.{layer}.attn.W_O"][head]
