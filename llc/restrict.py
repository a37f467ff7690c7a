"""Restrictions say which parameters vary: "full", "embed", "unembed", "L0", "L1H3", a parameter's name, and unions
("L0H1+L1H6").

A head is its slices of W_Q, W_K, W_V, W_O, b_Q, b_K, b_V; b_O belongs to no head. A layer is all of its heads.
A restriction shows what it selects: `print(restriction)`, or its table in a notebook.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor
from transformer_lens import HookedTransformerConfig

from ablations.forward import HeadWeights
from ablations.names import Head, check_head, head_name, parse_head
from ablations.not_measurable import NotMeasurable

Weights = Mapping[str, Tensor]


@dataclass(frozen=True)
class Restriction:
    """A subset of a model's parameters, as a flat vector and back."""

    name: str
    parts: tuple[tuple[str, int | None], ...]  # parameter, and the head within it (None: the whole parameter)
    shapes: tuple[tuple[int, ...], ...]  # of each part

    @property
    def sizes(self) -> list[int]:
        """Number of parameters of each part."""
        return [math.prod(shape) for shape in self.shapes]

    @property
    def dimension(self) -> int:
        """Number of parameters that vary."""
        return sum(self.sizes)

    @property
    def head(self) -> Head | None:
        """The head (layer, head) where the restriction is a single one, and None otherwise."""
        return parse_head(self.name) if re.fullmatch(r"L\d+H\d+", self.name) else None

    def __str__(self) -> str:
        lines = [f"  {label}  {size:,}" for label, size in zip(self._labels(), self.sizes, strict=True)]
        return "\n".join([f"{self.name}: {self.dimension:,} parameters", *lines])

    def _repr_html_(self) -> str:
        parts = zip(self._labels(), self.shapes, self.sizes, strict=True)
        rows = "".join(f"<tr><td>{name}</td><td>{shape}</td><td>{size:,}</td></tr>" for name, shape, size in parts)
        header = "<tr><th>parameter</th><th>shape</th><th>count</th></tr>"
        return f"<b>{self.name}</b>: {self.dimension:,} parameters<table>{header}{rows}</table>"

    def _labels(self) -> list[str]:
        return [name if head is None else f"{name}[{head}]" for name, head in self.parts]

    def key_bias(self, cfg: HookedTransformerConfig) -> Int64[Tensor, " bias"] | None:
        """Where in the vector key biases are, in models whose attention they cannot change; None where there are none.

        Without rotary positions a key bias adds the same to every score of a query, which the softmax removes. So its
        draws must be N(w*, 1 / localization) (diagnose.py).
        """
        free = cfg.positional_embedding_type in ("standard", "shortformer") and cfg.n_key_value_heads is None
        starts = np.cumsum([0, *self.sizes])
        places = [
            torch.arange(start, start + size)
            for (name, _), start, size in zip(self.parts, starts.tolist(), self.sizes, strict=False)
            if name.endswith("attn.b_K")
        ]
        return torch.cat(places) if free and places else None

    def flat(self, weights: Weights) -> Float[Tensor, " dim"]:
        """The selected parameters as one vector [dim], a copy."""
        return torch.cat([_part(weights, part).reshape(-1) for part in self.parts])

    def put(self, weights: Weights, flat: Float[Tensor, " dim"]) -> dict[str, Tensor]:
        """All weights with the selected ones replaced by `flat`, differentiably; the given weights stay as they are."""
        replaced = dict(weights)
        for (name, head), shape, part in zip(self.parts, self.shapes, flat.split(self.sizes), strict=True):
            values = part.view(shape)
            if head is None:
                replaced[name] = values
            else:
                index = torch.tensor([head], device=values.device)
                replaced[name] = replaced[name].index_copy(0, index, values[None])
        return replaced


def parse(text: str, weights: Weights, cfg: HookedTransformerConfig) -> Restriction:
    """Reads a restriction; the order of the terms in a union does not matter.

    Arguments:

        text     "full", "embed", "unembed", "L0" (all heads of a layer), "L1H3" or "1:3" (a head), the name of a
                 parameter, or a union of these with +
        weights  the model's parameters by name, as in `dict(model.named_parameters())`
        cfg      the model's configuration

    Raises ValueError for a restriction that is unknown or selects a parameter twice, and NotMeasurable for a head that
    shares its keys and values with others.

    Example:

        >>> from transformer_lens import HookedTransformer, HookedTransformerConfig
        >>> from llc import restrict
        >>> sizes = {"n_layers": 2, "d_model": 16, "n_ctx": 12, "d_head": 4, "n_heads": 4, "d_vocab": 20}
        >>> model = HookedTransformer(HookedTransformerConfig(**sizes, attn_only=True, seed=0))
        >>> weights = dict(model.named_parameters())
        >>> print(restrict.parse("L0H1", weights, model.cfg))
        L0H1: 268 parameters
          blocks.0.attn.W_Q[1]  64
          blocks.0.attn.W_K[1]  64
          blocks.0.attn.W_V[1]  64
          blocks.0.attn.W_O[1]  64
          blocks.0.attn.b_Q[1]  4
          blocks.0.attn.b_K[1]  4
          blocks.0.attn.b_V[1]  4
        >>> union = restrict.parse("unembed + 0:1", weights, model.cfg)
        >>> union.name, union.flat(weights).shape
        ('L0H1+unembed', torch.Size([608]))
    """
    terms = sorted((_term(term.strip(), weights, cfg) for term in text.split("+")), key=lambda term: term[0])
    parts = [part for _, parts_of_term in terms for part in parts_of_term]
    whole = {name for name, head in parts if head is None}
    if len(set(parts)) < len(parts) or any(name in whole for name, head in parts if head is not None):
        raise ValueError(f"restriction {text!r} selects a parameter twice: name each part once")
    shapes = tuple(tuple(_part(weights, part).shape) for part in parts)
    return Restriction("+".join(name for name, _ in terms), tuple(parts), shapes)


def _term(term: str, weights: Weights, cfg: HookedTransformerConfig) -> tuple[str, list[tuple[str, int | None]]]:
    """The canonical name of one term, and the parts that it selects."""
    if term == "full":
        return term, [(name, None) for name in weights]
    if term in ("embed", "unembed"):
        return term, [(name, None) for name in weights if name.startswith(term + ".")]
    if term in weights:
        return term, [(term, None)]
    if (layer := re.fullmatch(r"[lL](\d+)", term)) and int(layer[1]) < cfg.n_layers:
        # grouped keys and values have names of their own (_W_K)
        names = [f"blocks.{int(layer[1])}.attn.{x}{name}" for name in HeadWeights._fields for x in ("", "_")]
        return f"L{int(layer[1])}", [(name, None) for name in names if name in weights]
    try:
        layer_number, number = check_head(parse_head(term), cfg)
    except ValueError as error:
        raise ValueError(
            f"unknown restriction {term!r} ({error}): "
            "use full, embed, unembed, L0, L1H3, a parameter's name, or a union with +"
        ) from None
    parts: list[tuple[str, int | None]] = [(f"blocks.{layer_number}.attn.{n}", number) for n in HeadWeights._fields]
    if any(name not in weights for name, _ in parts):
        raise NotMeasurable(f"{term}: heads of this model share keys and values: restrict to a layer or to parameters")
    return head_name((layer_number, number)), parts


def _part(weights: Weights, part: tuple[str, int | None]) -> Tensor:
    name, head = part
    return weights[name] if head is None else weights[name][head]
