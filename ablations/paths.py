"""Cutting the direct path from a source head into one input (q, k or v) of a later head.

Exact: the source's contribution is taken out of (or replaced in) what the target reads *before* its layer norm, and the
norm is recomputed. "freeze" keeps the clean run's norm instead, as other tools do. Only the direct path is cut: what
the source tells the target through heads in layers between them stays, as does everything it tells other heads.
"""

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from transformer_lens import HookedTransformer
from transformer_lens.hook_points import HookPoint

from ablations.heads import Hook, Interventions, z_hook
from ablations.names import Head, check_head, head_name

Via = Literal["q", "k", "v"]
VIAS: tuple[Via, ...] = ("q", "k", "v")
LayerNorm = Literal["recompute", "freeze"]


class Path(NamedTuple):
    """One direct path: what the source writes, as the target's queries, keys or values read it."""

    source: Head
    target: Head
    via: Via


def check_path(path: Path, model: HookedTransformer) -> Path:
    """The path itself; raises ValueError when it cannot exist in the model."""
    for head in (path.source, path.target):
        check_head(head, model.cfg)
    if path.source[0] >= path.target[0]:
        raise ValueError(
            f"no path {head_name(path.source)} -> {head_name(path.target)}: "
            "the source must be in an earlier layer than the target"
        )
    if path.via not in VIAS:
        raise ValueError(f"no input {path.via!r}: a head reads through q, k or v")
    return path


def cut(
    model: HookedTransformer,
    paths: Iterable[Path],
    values: Mapping[Head, Tensor] | None = None,
    layer_norm: LayerNorm = "recompute",
) -> Interventions:
    """Interventions that cut a set of paths at once; run them with `effects.token_losses`.

    values: the z put in place of each source's ([d_head], [pos, d_head] or [batch, pos, d_head]); zero when not given.
    """
    paths = [check_path(path, model) for path in paths]
    sources = sorted({path.source for path in paths})
    values = values or {source: torch.zeros(1) for source in sources}
    missing: dict[Head, Tensor] = {}  # what each source writes, less what stands in for it; renewed by every run
    hooks = [_keep(source, values[source], model.blocks[source[0]].attn.W_O[source[1]], missing) for source in sources]
    hooks += [_subtract(path, missing) for path in paths]
    if layer_norm == "freeze":
        hooks += [hook for layer in {path.target[0] for path in paths} for hook in _frozen_norm(layer, model.cfg.eps)]
    return hooks


def _keep(source: Head, value: Tensor, W_O: Tensor, missing: dict[Head, Tensor]) -> tuple[str, Hook]:
    def hook(z: Tensor, hook: HookPoint) -> None:
        missing[source] = (z[:, :, source[1]] - value.to(z)) @ W_O

    return z_hook(source), hook


def _subtract(path: Path, missing: dict[Head, Tensor]) -> tuple[str, Hook]:
    layer, head = path.target

    def hook(read: Tensor, hook: HookPoint) -> Tensor:
        read = read.clone()
        read[:, :, head] -= missing[path.source]
        return read

    return f"blocks.{layer}.hook_{path.via}_input", hook


def _frozen_norm(layer: int, eps: float) -> Interventions:
    clean: list[Tensor] = []

    def keep(residual: Tensor, hook: HookPoint) -> None:
        centred = residual - residual.mean(-1, keepdim=True)
        clean[:] = [(centred.pow(2).mean(-1, keepdim=True) + eps).sqrt().unsqueeze(2)]

    def hook(scale: Tensor, hook: HookPoint) -> Tensor:
        return clean[0].expand_as(scale)

    return [(f"blocks.{layer}.hook_resid_pre", keep), (f"blocks.{layer}.ln1.hook_scale", hook)]
