"""Cutting the direct path from a source into one input (q, k or v) of a later head, into an MLP, or into the output.

Exact: what the source contributed is taken out of (or replaced in) what the target reads *before* its layer norm, and
the norm is recomputed. "freeze" keeps the norm's scale of the same run without the cut, as other tools do. Only the
direct path is cut, at any distance: what the source tells the target through heads and MLPs between them stays (cut
those paths too to remove it), as does everything it tells others. An MLP after attention reads what the heads of its
own layer write; one beside attention (`parallel_attn_mlp`) reads what these read. Names are those of `path_names`,
which can be had from here, too.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from ablations.heads import Interventions
from ablations.models import Model, as_model
from ablations.names import Head
from ablations.path_names import (
    FIXED,
    OUTPUT,
    VIAS,
    Path,
    Source,
    Via,
    all_paths,
    as_paths,
    check_path,
    ends,
    layers_read,
    mlp_paths,
    named_sources,
    parse_path,
    path_name,
    paths_of,
    read_hook,
    sources_of,
    target_layer,
    target_norm,
)

__all__ = [
    "FIXED",
    "OUTPUT",
    "VIAS",
    "Cut",
    "LayerNorm",
    "Path",
    "Source",
    "Via",
    "all_paths",
    "as_paths",
    "check_layer_norm",
    "check_path",
    "cut",
    "ends",
    "layers_read",
    "mlp_paths",
    "named_sources",
    "parse_path",
    "path_name",
    "paths_of",
    "read_hook",
    "sources_of",
    "target_layer",
    "target_norm",
]

LayerNorm = Literal["recompute", "freeze"]


def check_layer_norm(layer_norm: str) -> None:
    """Raises ValueError for another way than those that there are."""
    if layer_norm not in get_args(LayerNorm):
        raise ValueError(f"layer_norm={layer_norm!r}: it is one of {', '.join(get_args(LayerNorm))}")


@dataclass(frozen=True, eq=False)
class Cut:
    """One cut path as an intervention, which `sums` turns into hooks together with all that it is added to."""

    path: Path
    value: Float[Tensor, "*value"]  # what stands in for the source, for this path only
    layer_norm: LayerNorm

    def __call__(self, read: Tensor, hook: object = None) -> Tensor:
        raise RuntimeError(
            f"the cut of {path_name(self.path)} is no hook by itself: run it with effects.run or effects.token_losses"
        )


def cut(
    model: Model,
    paths: str | Path | Iterable[str | Path],
    values: Mapping[Source, Tensor] | Mapping[Head, Tensor] | None = None,
    layer_norm: LayerNorm = "recompute",
) -> Interventions:
    """Interventions that cut a set of paths at once; run them with `effects.token_losses`.

    values: the z put in place of each source head's ([d_head], [pos, d_head] or [batch, pos, d_head]), and what is put
    in place of another source (by "MLP0", "embed", "pos_embed" or "b_O", with d_model in place of d_head), for these
    paths only; zero for what is not given.
    """
    model = as_model(model)
    asked = [check_path(path, model.cfg) for path in dict.fromkeys(as_paths(paths))]
    check_layer_norm(layer_norm)
    shared = model.cfg.n_key_value_heads not in (None, model.cfg.n_heads)
    if shared and (one := next((path for path in asked if path.via in ("k", "v")), None)):
        raise ValueError(f"{path_name(one)}: heads of this model share keys and values, cut paths through q")
    given: dict[Source, Tensor] = dict((values or {}).items())  # type: ignore[arg-type]
    return [
        (read_hook(path, model.cfg), Cut(path, given.get(path.source, torch.zeros(1)), layer_norm)) for path in asked
    ]
