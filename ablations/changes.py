"""What is removed from a model: whole heads, and direct paths; as values, and as text."""

from typing import NamedTuple

from ablations.models import Config
from ablations.names import Head, check_head, head_name, parse_head
from ablations.paths import Path, check_path, parse_path, path_name, target_layer


class Change(NamedTuple):
    """Heads whose z is replaced, and paths that are cut, all at once."""

    heads: tuple[Head, ...] = ()
    cuts: tuple[Path, ...] = ()


def parse_change(text: str) -> Change:
    """Reads heads and paths joined by "+": "L1H4", "L0H1+L0H5", "L0H5->L1H4.k+L0H6->L1H4.k"; raises ValueError."""
    parts = [part.strip() for part in text.split("+")]
    heads = tuple(parse_head(part) for part in parts if "->" not in part)
    return Change(heads, tuple(parse_path(part) for part in parts if "->" in part))


def change_name(change: Change) -> str:
    """What `parse_change` reads."""
    return "+".join([*map(head_name, change.heads), *map(path_name, change.cuts)])


def check_change(change: Change, cfg: Config) -> Change:
    """The change itself; raises ValueError when the model has no such head or path."""
    for head in change.heads:
        check_head(head, cfg)
    for path in change.cuts:
        check_path(path, cfg)
    return change


def first_layer(change: Change, cfg: Config) -> int:
    """The first layer whose heads or MLP the change touches; n_layers when it touches none."""
    touched = [layer for layer, _ in change.heads]
    touched += [target_layer(path.target, cfg) for path in change.cuts]
    return min(touched, default=cfg.n_layers)


def reader(change: Change) -> Head:
    """The head whose attention shows what the change acts on: the last target of a cut, else the last head removed."""
    targets = [path.target for path in change.cuts if not isinstance(path.target, str)]
    sources = [path.source for path in change.cuts if not isinstance(path.source, str)]
    heads = targets or [*change.heads] or sources
    if not heads:
        raise ValueError("nothing is removed by a head or from one: no attention belongs to it")
    return max(heads)
