"""The names and coordinates that datasets of measurements share."""

import numpy as np
from transformer_lens import HookedTransformerConfig

from ablations.effects import Estimate
from ablations.names import all_heads, head_name

TEXTS = ("random", "text")  # repeated random tokens, repeated held-out text


def head_coords(cfg: HookedTransformerConfig) -> dict:
    """Every head as dim `restriction`, with its layer and its number."""
    heads = all_heads(cfg)
    return {
        "restriction": [head_name(head) for head in heads],
        "layer": ("restriction", [layer for layer, _ in heads]),
        "head": ("restriction", [head for _, head in heads]),
    }


def heads_by_layer(cfg: HookedTransformerConfig) -> list[list[str]]:
    """The names of all heads, those of a layer together."""
    names: list[list[str]] = [[] for _ in range(cfg.n_layers)]
    for layer, head in all_heads(cfg):
        names[layer].append(head_name((layer, head)))
    return names


def with_errors(
    name: str, dims: tuple[str, ...], estimates: list[Estimate], shape: tuple[int, ...] | None = None
) -> dict:
    """Two variables of a dataset: the estimates' values, and their standard errors as `NAME_se`."""
    target = shape or ((len(estimates),) if dims else ())
    values = np.array([estimate.value for estimate in estimates]).reshape(target)
    errors = np.array([estimate.se for estimate in estimates]).reshape(target)
    return {name: (dims, values), f"{name}_se": (dims, errors)}
