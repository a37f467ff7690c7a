"""Which parameters vary: "full", "embed", "unembed", "L0", "L1H3", a parameter's name, and unions ("L0H1+L1H6").

A head is its slices of W_Q, W_K, W_V, W_O, b_Q, b_K, b_V; b_O belongs to no head. A layer is all of its heads.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from transformer_lens import HookedTransformerConfig

from ablations.attention import HeadWeights
from ablations.names import check_head, head_name, parse_head

Weights = Mapping[str, Tensor]


@dataclass(frozen=True)
class Restriction:
    """A subset of a model's parameters, as a flat vector and back."""

    name: str
    parts: tuple[tuple[str, int | None], ...]  # parameter, and the head within it (None: the whole parameter)

    def flat(self, weights: Weights) -> Float[Tensor, " dim"]:
        """The selected parameters as one vector (a copy)."""
        return torch.cat([_part(weights, part).reshape(-1) for part in self.parts])

    def put(self, weights: Weights, flat: Float[Tensor, " dim"]) -> dict[str, Tensor]:
        """All weights with the selected ones replaced; differentiable in `flat`, the given weights stay as they are."""
        replaced = dict(weights)
        start = 0
        for name, head in self.parts:
            shape = _part(weights, (name, head)).shape
            values = flat[start : start + shape.numel()].view(shape)
            start += shape.numel()
            if head is None:
                replaced[name] = values
            else:
                index = torch.tensor([head], device=values.device)
                replaced[name] = replaced[name].index_copy(0, index, values[None])
        return replaced


def parse(text: str, weights: Weights, cfg: HookedTransformerConfig) -> Restriction:
    """Reads a restriction; raises ValueError for one that is unknown or selects a parameter twice."""
    parts: list[tuple[str, int | None]] = []
    names = []
    for term in text.split("+"):
        name, found = _term(term.strip(), weights, cfg)
        names.append(name)
        parts += found
    if len(set(parts)) < len(parts):
        raise ValueError(f"restriction {text!r} selects a parameter twice: name each part once")
    return Restriction("+".join(names), tuple(parts))


def _term(term: str, weights: Weights, cfg: HookedTransformerConfig) -> tuple[str, list[tuple[str, int | None]]]:
    if term == "full":
        return term, [(name, None) for name in weights]
    if term in ("embed", "unembed"):
        return term, [(name, None) for name in weights if name.startswith(term + ".")]
    if term in weights:
        return term, [(term, None)]
    if layer := re.fullmatch(r"[lL](\d+)", term):
        heads = [check_head((int(layer[1]), head), cfg) for head in range(cfg.n_heads)]
        return f"L{int(layer[1])}", [part for head in heads for part in _head_parts(head)]
    try:
        head = check_head(parse_head(term), cfg)
    except ValueError as error:
        raise ValueError(
            f"unknown restriction {term!r} ({error}): "
            "use full, embed, unembed, L0, L1H3, a parameter's name, or a union with +"
        ) from None
    return head_name(head), _head_parts(head)


def _head_parts(head: tuple[int, int]) -> list[tuple[str, int | None]]:
    return [(f"blocks.{head[0]}.attn.{name}", head[1]) for name in HeadWeights._fields]


def _part(weights: Weights, part: tuple[str, int | None]) -> Tensor:
    name, head = part
    return weights[name] if head is None else weights[name][head]
