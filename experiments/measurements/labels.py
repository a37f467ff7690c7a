"""The names and coordinates that datasets of measurements share."""

import numpy as np

from ablations.effects import Estimate
from ablations.models import Config
from ablations.names import all_heads, head_name

TEXTS = ("random", "text")  # repeated random tokens, repeated held-out text


def head_coords(cfg: Config) -> dict:
    """Every head as dim `restriction`, with its layer and its number."""
    heads = all_heads(cfg)
    return {
        "restriction": [head_name(head) for head in heads],
        "layer": ("restriction", [layer for layer, _ in heads]),
        "head": ("restriction", [head for _, head in heads]),
    }


def heads_by_layer(cfg: Config) -> list[list[str]]:
    """The names of all heads, those of a layer together."""
    names: list[list[str]] = [[] for _ in range(cfg.n_layers)]
    for layer, head in all_heads(cfg):
        names[layer].append(head_name((layer, head)))
    return names


def with_errors(
    name: str, dims: tuple[str, ...], estimates: list[Estimate], shape: tuple[int, ...] | None = None
) -> dict:
    """Variables of a dataset: the estimates' values, their standard errors as `NAME_se`, and the degrees of freedom of
    these as `NAME_degrees`.
    """
    target = shape or ((len(estimates),) if dims else ())
    columns = np.array(estimates, dtype=np.float64).T.reshape(len(Estimate._fields), *target)
    return {name + end: (dims, column) for end, column in zip(("", "_se", "_degrees"), columns, strict=True)}
