"""Heads by name: (1, 3) <-> "L1H3"; MLPs by name: layer 0 <-> "MLP0". Nothing else parses either."""

import operator
import re
from collections.abc import Iterable
from typing import Any, Protocol, SupportsIndex, runtime_checkable

Head = tuple[int, int]  # (layer, head)


@runtime_checkable
class Shape(Protocol):
    """How many heads a model has: its HookedTransformerConfig, or what is known of it without TransformerLens."""

    @property
    def n_layers(self) -> int: ...

    @property
    def n_heads(self) -> int: ...


@runtime_checkable
class Blocks(Protocol):
    """How many layers a model has, and whether these have MLPs: its configuration of any kind."""

    @property
    def n_layers(self) -> int: ...

    @property
    def attn_only(self) -> bool: ...


_MLP = re.compile(r"(?:mlp|m)(\d+)", re.IGNORECASE)
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


def as_head(head: Any) -> Head:
    """A head as a value, from its name or from layer and number, of Python, NumPy or torch; raises ValueError."""
    if isinstance(head, str):
        return parse_head(head)
    try:
        layer, number = map(operator.index, head)
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(f"{head!r} is not a head: give its name (L1H4), or layer and number (1, 4)") from None
    return layer, number


def as_heads(heads: Any) -> list[Head]:
    """Several heads, or one, as values: "L1H4", (1, 4), ["L1H4", (0, 2)], or a table of numbers [head, 2].

    Raises ValueError as `as_head` does.
    """
    several: list[Any] = list(heads) if isinstance(heads, Iterable) and not isinstance(heads, str) else [heads]
    pair = len(several) == 2 and all(isinstance(one, SupportsIndex) and not getattr(one, "ndim", 0) for one in several)
    return [as_head((several[0], several[1]))] if pair else [as_head(one) for one in several]


def check_head(head: Any, cfg: Shape) -> Head:
    """The head as a value; raises ValueError for what is none, and when the model does not have it."""
    layer, index = head = as_head(head)
    if not (0 <= layer < cfg.n_layers and 0 <= index < cfg.n_heads):
        raise ValueError(
            f"no head {head_name(head)}: the model has layers 0 to {cfg.n_layers - 1} and heads 0 to {cfg.n_heads - 1}"
        )
    return head


def distinct_heads(heads: Iterable[Any], cfg: Shape) -> list[str]:
    """The names of these heads, each once; raises ValueError as `check_head` does."""
    return list(dict.fromkeys(head_name(check_head(head, cfg)) for head in heads))


def all_heads(cfg: Shape) -> list[Head]:
    """Every head, layer by layer."""
    return [(layer, head) for layer in range(cfg.n_layers) for head in range(cfg.n_heads)]


def mlp_name(layer: int) -> str:
    """0 -> "MLP0"."""
    return f"MLP{layer}"


def mlp_layer(name: Any) -> int | None:
    """The layer of an MLP by its name, "MLP0" (also "mlp0" or "m0"); None for anything else."""
    match = _MLP.fullmatch(name.strip()) if isinstance(name, str) else None
    return int(match[1]) if match else None


def all_mlps(cfg: Blocks) -> list[str]:
    """Every MLP by name, layer by layer; none in an attention-only model."""
    return [] if cfg.attn_only else [mlp_name(layer) for layer in range(cfg.n_layers)]
