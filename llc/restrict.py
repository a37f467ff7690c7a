"""Restrictions say which parameters vary: "full", "embed", "unembed", "L0", "L1H3", a parameter's name, and unions
("L0H1+L1H6").

A head is its slices of W_Q, W_K, W_V, W_O, b_Q, b_K, b_V; b_O belongs to no head. A layer is all of its heads.
Parameters are told apart by their memory: one of two names (a tied embedding, a block that is used twice) is selected
once, counts once, and moves under both names (tied.py).
A restriction shows what it selects: `print(restriction)`, or its table in a notebook.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ablations.forward import HeadWeights
from ablations.models import Config
from ablations.names import Head, check_head, head_name, parse_head
from ablations.not_measurable import NotMeasurable
from llc.tied import Tie, followed, ties

Weights = Mapping[str, Tensor]
Part = tuple[str, int | None]  # a parameter's name, and the number of a head in it (None: all of it)


@dataclass(frozen=True)
class Restriction:
    """A subset of a model's parameters, as a flat vector and back."""

    name: str
    parts: tuple[Part, ...]  # parameter, and the head within it (None: the whole parameter)
    shapes: tuple[tuple[int, ...], ...]  # of each part
    ties: tuple[Tie, ...] = ()  # other names of what is selected

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
        other: dict[str, list[str]] = {}
        for tie in self.ties:
            other.setdefault(tie.owner, []).append(tie.name + (" transposed" if tie.transposed else ""))
        names = [" = ".join([name, *other.get(name, [])]) for name, _ in self.parts]
        return [name if head is None else f"{name}[{head}]" for name, (_, head) in zip(names, self.parts, strict=True)]

    def key_bias(self, cfg: Config) -> Int64[Tensor, " bias"] | None:
        """Where in the vector key biases are, in models whose attention they cannot change (`key_biases_are_free`);
        None where there are none. Their draws must be N(w*, 1 / localization) (diagnose.py).
        """
        starts = np.cumsum([0, *self.sizes])
        places = [
            torch.arange(start, start + size)
            for (name, _), start, size in zip(self.parts, starts.tolist(), self.sizes, strict=False)
            if name.endswith("attn.b_K")
        ]
        return torch.cat(places) if places and key_biases_are_free(cfg) else None

    def flat(self, weights: Weights) -> Float[Tensor, " dim"]:
        """The selected parameters as one vector [dim], a copy."""
        return torch.cat([_part(weights, part).reshape(-1) for part in self.parts])

    def put(self, weights: Weights, flat: Float[Tensor, " dim"]) -> dict[str, Tensor]:
        """All weights with the selected ones replaced by `flat`, under all their names, differentiably; the given
        weights stay as they are.
        """
        replaced = dict(weights)
        for (name, head), shape, part in zip(self.parts, self.shapes, flat.split(self.sizes), strict=True):
            values = part.view(shape)
            if head is None:
                replaced[name] = values
            else:
                index = torch.tensor([head], device=values.device)
                replaced[name] = replaced[name].index_copy(0, index, values[None])
        return followed(replaced, self.ties)


def key_biases_are_free(cfg: Config) -> bool:
    """Whether the loss of a model cannot depend on its key biases, by its configuration.

    A key bias adds the same to all scores of a query, which a softmax removes. Not so where keys are turned with their
    positions, normed or clipped before the product, where scores are capped after it, and where a sink that no key
    bias moves stands in the softmax. Grouped keys have biases of other names, and are left out.
    """
    moved = cfg.attn_scores_soft_cap > 0 or cfg.use_qk_norm or cfg.clip_qkv is not None or cfg.use_attention_sinks
    by_sums = cfg.positional_embedding_type in ("standard", "shortformer")
    return by_sums and cfg.n_key_value_heads is None and not moved


def parse(text: str, weights: Weights, cfg: Config) -> Restriction:
    """Reads a restriction; the order of the terms in a union does not matter.

    Arguments:

        text     "full", "embed", "unembed", "L0" (all heads of a layer), "L1H3" or "1:3" (a head), the name of a
                 parameter, or a union of these with +
        weights  the model's parameters by name, as in `dict(model.named_parameters())`; where a block is used for two
                 layers by all their names, as `ablations.forward.parameters_of(model)` gives them
        cfg      the model's configuration

    Raises ValueError for a restriction that is unknown or selects a parameter twice, and NotMeasurable for a head that
    shares its keys and values with others.

    Example:

        >>> from ablations import models
        >>> from llc import restrict
        >>> sizes = {"n_layers": 2, "d_model": 16, "n_ctx": 12, "d_head": 4, "n_heads": 4, "d_vocab": 20}
        >>> model = models.new({**sizes, "attn_only": True, "seed": 0})
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
    every = ties(weights)
    parts = [part for _, parts_of_term in terms for part in _owned(parts_of_term, every)]
    whole = {name for name, head in parts if head is None}
    if len(set(parts)) < len(parts) or any(name in whole for name, head in parts if head is not None):
        raise ValueError(
            f"restriction {text!r} selects a parameter twice: name each part once"
            + "".join(f"; {tie.name} is {tie.owner}" for tie in every[:1])
        )
    shapes = tuple(tuple(_part(weights, part).shape) for part in parts)
    own = tuple(tie for tie in every if tie.owner in {name for name, _ in parts})
    return Restriction("+".join(name for name, _ in terms), tuple(parts), shapes, own)


def parse_all(restrictions: Any, weights: Weights, cfg: Config) -> list[Restriction]:
    """Reads several restrictions, or one; raises ValueError as `parse` does, and for what is no text."""
    several = [restrictions] if isinstance(restrictions, str) else list(restrictions)
    if odd := [one for one in several if not isinstance(one, str)]:
        raise ValueError(f"restriction {odd[0]!r} is no text: name it, such as L1H4, L0 or full")
    return [parse(text, weights, cfg) for text in several]


def _owned(parts: list[Part], every: tuple[Tie, ...]) -> list[Part]:
    """The parts of one term by the names of their memory's owners, each once."""
    owners = {tie.name: tie.owner for tie in every}
    return list(dict.fromkeys((owners.get(name, name), head) for name, head in parts))


def _term(term: str, weights: Weights, cfg: Config) -> tuple[str, list[Part]]:
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
        _check_named(term, int(layer[1]), weights)
        return f"L{int(layer[1])}", [(name, None) for name in names if name in weights]
    try:
        layer_number, number = check_head(parse_head(term), cfg)
    except ValueError as error:
        raise ValueError(
            f"unknown restriction {term!r} ({error}): "
            "use full, embed, unembed, L0, L1H3, a parameter's name, or a union with +"
        ) from None
    _check_named(term, layer_number, weights)
    parts: list[Part] = [(f"blocks.{layer_number}.attn.{n}", number) for n in HeadWeights._fields]
    if any(name not in weights for name, _ in parts):
        raise NotMeasurable(f"{term}: heads of this model share keys and values: restrict to a layer or to parameters")
    return head_name((layer_number, number)), parts


def _check_named(term: str, layer: int, weights: Weights) -> None:
    """Raises NotMeasurable where the weights have no names for a layer's heads."""
    if not any(name.startswith(f"blocks.{layer}.attn.") for name in weights):
        raise NotMeasurable(
            f"{term}: the weights have none of layer {layer}, whose block stands for another layer, too: give them by "
            "all their names, ablations.forward.parameters_of(model)"
        )


def _part(weights: Weights, part: Part) -> Tensor:
    name, head = part
    return weights[name] if head is None else weights[name][head]
