"""Heads by name: (1, 3) <-> "L1H3". Nothing else parses heads."""

import re
from typing import Protocol, runtime_checkable

Head = tuple[int, int]  # (layer, head)


@runtime_checkable
class Shape(Protocol):
    """How many heads a model has: its HookedTransformerConfig, or what is known of it without TransformerLens."""

    @property
    def n_layers(self) -> int: ...

    @property
    def n_heads(self) -> int: ...


_FORMS = re.compile(r"(?:l|a)?(\d+)(?:\.?h|:|\.)(\d+)", re.IGNORECASE)


def head_name(head: Head) -> str:
    """(1, 3) -> "L1H3"."""
    return f"L{head[0]}H{head[1]}"


def parse_head(text: str) -> Head:
    """Reads "L1H3", "l1h3", "1:3", "1.3" or "a1.h3"; raises ValueError for anything else."""
    match = _FORMS.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a head: write it as L1H3 or 1:3 (layer, then head, from 0)")
    return int(match[1]), int(match[2])


def check_head(head: Head, cfg: Shape) -> Head:
    """The head itself; raises ValueError when the model does not have it."""
    layer, index = head
    if not (0 <= layer < cfg.n_layers and 0 <= index < cfg.n_heads):
        raise ValueError(
            f"no head {head_name(head)}: the model has layers 0 to {cfg.n_layers - 1} and heads 0 to {cfg.n_heads - 1}"
        )
    return head


def all_heads(cfg: Shape) -> list[Head]:
    """Every head, layer by layer."""
    return [(layer, head) for layer in range(cfg.n_layers) for head in range(cfg.n_heads)]
