"""Paths by name: what a head, an MLP or the embedding writes, as a later head, an MLP or the output reads it.

    L0H5->L1H4.k     what head 5 of layer 0 writes, as the keys of head 4 of layer 1 read it
    embed->L1H4.q    L0H5->MLP1    MLP0->L1H4.v    L0H5->output

Which paths there are depends on the shape of the model alone, so that names are checked before a model is loaded.
`paths` cuts them.
"""

import re
from collections.abc import Collection, Iterable
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

from ablations.names import Head, all_heads, all_mlps, check_head, head_name, mlp_layer, mlp_name, parse_head

Via = Literal["q", "k", "v"]
VIAS: tuple[Via, ...] = ("q", "k", "v")
# A head, "MLP0" (all that a layer's MLP writes, its bias included), "embed", "pos_embed" (where positions are in the
# residual stream), or "b_O" of all layers.
Source = Head | str
OUTPUT = "output"  # the target that is the residual stream at the end, before ln_final
FIXED = ("pos_embed", "b_O")  # sources that write the same on every text

_FORM = re.compile(r"(.+?)\s*->\s*(.+?)(?:\.([a-z]))?", re.IGNORECASE)


@runtime_checkable
class Stream(Protocol):
    """What reads and writes a model's residual stream: its configuration, or what is known of it without a model."""

    @property
    def n_layers(self) -> int: ...

    @property
    def n_heads(self) -> int: ...

    @property
    def attn_only(self) -> bool: ...

    @property
    def parallel_attn_mlp(self) -> bool: ...

    @property
    def positional_embedding_type(self) -> str: ...


class Path(NamedTuple):
    """One direct path: what the source writes, as a head's queries, keys or values, an MLP or the output read it."""

    source: Source
    target: Head | str  # a head, "MLP0", or OUTPUT
    via: Via | None = None  # None for MLPs and the output, which have one input


def path_name(path: Path) -> str:
    """ "L0H5->L1H4.k", "embed->L1H4.q", "L0H5->MLP1", "MLP0->L1H4.v" or "L0H5->output"."""
    return "->".join(ends(path)) + (f".{path.via}" if path.via else "")


def ends(path: Path) -> tuple[str, str]:
    """Source and target by name."""
    source, target = (part if isinstance(part, str) else head_name(part) for part in (path.source, path.target))
    return source, target


def parse_path(text: str) -> Path:
    """Reads what `path_name` writes; raises ValueError for anything else."""
    match = _FORM.fullmatch(text.strip())
    whole = None if match is None else OUTPUT if match[2].lower() == OUTPUT else _parsed_mlp(match[2])
    if match is None or (match[3] is None) != (whole is not None):
        raise ValueError(f"{text!r} is not a path: write it as L0H5->L1H4.k (or .q, .v), L0H5->output or L0H5->MLP1")
    source = match[1] if match[1] in ("embed", "pos_embed", "b_O") else _parsed_mlp(match[1]) or parse_head(match[1])
    if whole is not None:
        return Path(source, whole)
    return Path(source, parse_head(match[2]), match[3].lower())  # type: ignore[arg-type]


def _parsed_mlp(text: str) -> str | None:
    layer = mlp_layer(text)
    return None if layer is None else mlp_name(layer)


def as_paths(paths: Any) -> list[Path]:
    """Several paths, or one, as values, from their names or themselves; raises ValueError for anything else."""
    several = [paths] if isinstance(paths, str | Path) else list(paths)
    if odd := next((one for one in several if not isinstance(one, str | Path)), None):
        raise ValueError(f"{odd!r} is not a path: write it as L0H5->L1H4.k, or give what parse_path makes of it")
    return [parse_path(one) if isinstance(one, str) else one for one in several]


def paths_of(heads: Collection[Head], paths: Iterable[Path]) -> list[Path]:
    """Those of the paths that go from or into one of these heads; all of them where no head is given."""
    return [path for path in paths if not heads or path.source in heads or path.target in heads]


def check_path(path: Path, cfg: Stream) -> Path:
    """The path itself; raises ValueError when it cannot exist in the model."""
    for part in path[:2]:
        if not isinstance(part, str):
            check_head(part, cfg)
    mlps = all_mlps(cfg)
    if isinstance(path.source, str) and path.source not in (held := (*named_sources(cfg), *mlps)):
        raise ValueError(f"no source {path.source!r}: the residual stream holds heads, {', '.join(held)}")
    if isinstance(path.target, str):
        if path.target not in (OUTPUT, *mlps):
            raise ValueError(f"no target {path.target!r}: it must be a head{', an MLP' * bool(mlps)} or {OUTPUT!r}")
        if path.via is not None:
            whole = "the output" if path.target == OUTPUT else path.target
            raise ValueError(f"no input {path.via!r} of {whole}: leave it out")
    if not _is_read(path, cfg):
        if path.source == "b_O":
            raise ValueError(f"no path {path_name(path)}: no layer comes before layer 0, whose biases it could read")
        raise ValueError(f"no path {path_name(path)}: the source must be in an earlier layer than the target")
    if not isinstance(path.target, str) and path.via not in VIAS:
        raise ValueError(f"no input {path.via!r} in {path_name(path)}: a head reads through q, k or v")
    return path


def named_sources(cfg: Stream) -> tuple[str, ...]:
    """What writes to the residual stream, apart from heads and MLPs."""
    return ("embed", "pos_embed", "b_O") if cfg.positional_embedding_type == "standard" else ("embed", "b_O")


def sources_of(target: Head | str, cfg: Stream) -> list[Source]:
    """All paths' sources that a target reads: its residual stream is their sum."""
    layers, mlps = layers_read(target, cfg)
    named = [source for source in named_sources(cfg) if layers > 0 or source != "b_O"]
    return [*named, *(head for head in all_heads(cfg) if head[0] < layers), *all_mlps(cfg)[:mlps]]


def _is_read(path: Path, cfg: Stream) -> bool:
    """Whether what the source writes is in what the target reads; both are of the model."""
    layers, mlps = layers_read(path.target, cfg)
    if not isinstance(path.source, str):
        return path.source[0] < layers
    layer = mlp_layer(path.source)
    return layers > 0 or path.source != "b_O" if layer is None else layer < mlps


def layers_read(target: Head | str, cfg: Stream) -> tuple[int, int]:
    """How many layers' heads (and b_O), and how many layers' MLPs, write into what a target reads."""
    if target == OUTPUT:
        return cfg.n_layers, cfg.n_layers
    layer = target_layer(target, cfg)
    return layer + (isinstance(target, str) and not cfg.parallel_attn_mlp), layer


def all_paths(cfg: Stream) -> list[Path]:
    """Every direct path between heads: source by source, then target, then via."""
    heads = all_heads(cfg)
    return [Path(source, target, via) for source in heads for target in heads if source[0] < target[0] for via in VIAS]


def mlp_paths(cfg: Stream) -> list[Path]:
    """Every direct path from heads and the embedding into MLPs, between MLPs, and from MLPs into heads: target by
    target; none in an attention-only model.
    """
    mlps = all_mlps(cfg)
    into = [Path(source, target) for target in mlps for source in sources_of(target, cfg) if source not in FIXED]
    return into + [Path(source, head, via) for head in all_heads(cfg) for source in mlps[: head[0]] for via in VIAS]


def target_layer(target: Head | str, cfg: Stream) -> int:
    """The layer that a target is in; n_layers for the output."""
    if not isinstance(target, str):
        return target[0]
    layer = mlp_layer(target)
    return cfg.n_layers if layer is None else layer


def target_norm(target: Head | str, cfg: Stream) -> str:
    """The norm that a target reads through, by name: "blocks.1.ln1" of heads, "blocks.1.ln2" of an MLP, "ln_final"."""
    if target == OUTPUT:
        return "ln_final"
    return f"blocks.{target_layer(target, cfg)}.ln{2 if isinstance(target, str) else 1}"


def read_hook(path: Path, cfg: Stream) -> str:
    """The hook at which a path's target reads the residual stream."""
    layer = target_layer(path.target, cfg)
    if path.target == OUTPUT:
        return f"blocks.{layer - 1}.hook_resid_post"
    return f"blocks.{layer}.hook_{'mlp_in' if isinstance(path.target, str) else f'{path.via}_input'}"
