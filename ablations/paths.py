"""Cutting the direct path from a source into one input (q, k or v) of a later head, or into the output.

Exact: what the source contributed is taken out of (or replaced in) what the target reads *before* its layer norm, and
the norm is recomputed. "freeze" keeps the norm's scale of the same run without the cut, as other tools do. Only the
direct path is cut, at any distance: what the source tells the target through heads in layers between them stays (cut
those paths too to remove it), as does everything it tells other heads.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from ablations.forward import Via
from ablations.heads import Interventions
from ablations.models import Config, Model, as_model
from ablations.names import Head, all_heads, check_head, head_name, parse_head

VIAS: tuple[Via, ...] = ("q", "k", "v")
LayerNorm = Literal["recompute", "freeze"]
Source = Head | str  # a head, "embed", "pos_embed" (where positions are in the residual stream), or "b_O" of all layers
OUTPUT = "output"  # the target that is the residual stream at the end, before ln_final

_FORM = re.compile(r"(.+?)\s*->\s*(.+?)(?:\.([a-z]))?", re.IGNORECASE)


class Path(NamedTuple):
    """One direct path: what the source writes, as the target's queries, keys or values (or the output) read it."""

    source: Source
    target: Head | str  # a head, or OUTPUT
    via: Via | None = None  # None for the output, which has one input


def path_name(path: Path) -> str:
    """ "L0H5->L1H4.k", "embed->L1H4.q" or "L0H5->output"."""
    return "->".join(ends(path)) + (f".{path.via}" if path.via else "")


def ends(path: Path) -> tuple[str, str]:
    """Source and target by name."""
    source, target = (part if isinstance(part, str) else head_name(part) for part in (path.source, path.target))
    return source, target


def parse_path(text: str) -> Path:
    """Reads what `path_name` writes; raises ValueError for anything else."""
    match = _FORM.fullmatch(text.strip())
    if match is None or (match[3] is None) != (match[2].lower() == OUTPUT):
        raise ValueError(f"{text!r} is not a path: write it as L0H5->L1H4.k (or .q, .v), or L0H5->output")
    source = match[1] if match[1] in ("embed", "pos_embed", "b_O") else parse_head(match[1])
    if match[3] is None:
        return Path(source, OUTPUT)
    return Path(source, parse_head(match[2]), match[3].lower())  # type: ignore[arg-type]


def as_paths(paths: Any) -> list[Path]:
    """Several paths, or one, as values, from their names or themselves; raises ValueError for anything else."""
    several = [paths] if isinstance(paths, str | Path) else list(paths)
    if odd := next((one for one in several if not isinstance(one, str | Path)), None):
        raise ValueError(f"{odd!r} is not a path: write it as L0H5->L1H4.k, or give what parse_path makes of it")
    return [parse_path(one) if isinstance(one, str) else one for one in several]


def paths_of(heads: Collection[Head], paths: Iterable[Path]) -> list[Path]:
    """Those of the paths that go from or into one of these heads; all of them where no head is given."""
    return [path for path in paths if not heads or path.source in heads or path.target in heads]


def check_path(path: Path, cfg: Config) -> Path:
    """The path itself; raises ValueError when it cannot exist in the model."""
    for part in path[:2]:
        if not isinstance(part, str):
            check_head(part, cfg)
    if isinstance(path.source, str) and path.source not in named_sources(cfg):
        raise ValueError(f"no source {path.source!r}: the residual stream holds heads, {', '.join(named_sources(cfg))}")
    if path.target == OUTPUT:
        if path.via is not None:
            raise ValueError(f"no input {path.via!r} of the output: leave it out")
        return path
    if isinstance(path.target, str):
        raise ValueError(f"no target {path.target!r}: it must be a head or {OUTPUT!r}")
    if not isinstance(path.source, str) and path.source[0] >= path.target[0]:
        raise ValueError(f"no path {path_name(path)}: the source must be in an earlier layer than the target")
    if path.source == "b_O" and path.target[0] == 0:
        raise ValueError(f"no path {path_name(path)}: no layer comes before layer 0, whose biases it could read")
    if path.via not in VIAS:
        raise ValueError(f"no input {path.via!r}: a head reads through q, k or v")
    return path


def check_layer_norm(layer_norm: str) -> None:
    """Raises ValueError for another way than those that there are."""
    if layer_norm not in get_args(LayerNorm):
        raise ValueError(f"layer_norm={layer_norm!r}: it is one of {', '.join(get_args(LayerNorm))}")


def named_sources(cfg: Config) -> tuple[str, ...]:
    """What writes to the residual stream, apart from heads (and MLPs, which are no sources)."""
    return ("embed", "pos_embed", "b_O") if cfg.positional_embedding_type == "standard" else ("embed", "b_O")


def sources_of(target: Head | str, cfg: Config) -> list[Source]:
    """All paths' sources that a target reads: its residual stream, apart from what MLPs write."""
    layers = cfg.n_layers if isinstance(target, str) else target[0]
    named = [source for source in named_sources(cfg) if layers > 0 or source != "b_O"]
    return [*named, *(head for head in all_heads(cfg) if head[0] < layers)]


def all_paths(cfg: Config) -> list[Path]:
    """Every direct path between heads: source by source, then target, then via."""
    heads = all_heads(cfg)
    return [Path(source, target, via) for source in heads for target in heads if source[0] < target[0] for via in VIAS]


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
    in place of another source (by "embed", "pos_embed" or "b_O", with d_model in place of d_head), for these paths
    only; zero for what is not given.
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


def target_layer(path: Path, cfg: Config) -> int:
    """The layer whose norm the target reads through; n_layers for the output, which reads through the final norm."""
    return cfg.n_layers if isinstance(path.target, str) else path.target[0]


def read_hook(path: Path, cfg: Config) -> str:
    """The hook at which a path's target reads the residual stream."""
    layer = target_layer(path, cfg)
    return f"blocks.{layer - 1}.hook_resid_post" if path.target == OUTPUT else f"blocks.{layer}.hook_{path.via}_input"
