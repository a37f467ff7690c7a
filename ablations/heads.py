"""Interventions that replace what heads say: zero, mean, resample.

An intervention is a list of (hook name, function) pairs; two of them are combined with `+`. A sum is a set of changes:
its order does not matter, what is named twice is done once, and two different values for one head are refused
(`sums`). They work on any model and act on z, the head's output before W_O, so the layer's b_O always
stays. `effects.token_losses` runs them and checks that every hook fired.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, Int64
from torch import Tensor

from ablations import padding
from ablations.forward import check_tokens
from ablations.models import Model, as_model
from ablations.names import Head, as_head, as_heads, check_head
from ablations.not_measurable import NotMeasurable
from ablations.prompts import Prompts, as_tokens
from ablations.running import as_in_workers

Hook = Callable[..., Tensor | None]
Interventions = list[tuple[str, Hook]]
Heads = str | Iterable[Any]  # one or several, by name or as (layer, number)
HeadValues = Mapping[Head, Tensor] | Mapping[str, Tensor]  # z by head: [d_head], [pos, d_head] or [batch, pos, d_head]


@dataclass(frozen=True, eq=False)
class Replaced:
    """One head whose z is set to a value, broadcast over batch and positions: a hook at the layer's z."""

    head: Head
    value: Float[Tensor, "*value"]

    def __call__(self, z: Tensor, hook: object = None) -> Tensor:
        index = self.head[1]
        if not 0 <= index < z.shape[2]:
            raise ValueError(f"no head {index} in a layer of {z.shape[2]}: heads are counted from 0")
        z = z.clone()
        z[:, :, index] = fitted(self.value, z[:, :, index], "z")
        return z


def zero(heads: Heads) -> Interventions:
    """Removes what these heads write: z becomes 0, b_O stays. heads: "L1H4", (1, 4), or several of these."""
    return replace({head: torch.zeros(1) for head in as_heads(heads)})


def replace(values: HeadValues) -> Interventions:
    """Sets z of each head to the given value, broadcast over batch and positions."""
    return [(z_hook(as_head(head)), Replaced(as_head(head), value)) for head, value in values.items()]


def mean(
    model: Model,
    heads: Heads,
    reference: Prompts,
    by_position: bool = False,
) -> Interventions:
    """Sets z of each head to its mean over a reference text, over all tokens or at each position by itself."""
    return replace(mean_z(model, heads, reference, by_position))


def resample(model: Model, heads: Heads, donors: Prompts) -> Interventions:
    """Sets z of each head to its value on another text, row by row: `donors` has the shape of the text it is run on.

    `other_rows` draws rows of other documents.
    """
    return replace(head_z(model, heads, donors))


def other_rows(
    documents: Int[np.ndarray, "row pos"],
    pool: Int[np.ndarray, "donor pos"],
    seed: int,
    draws: int = 1,
    first_row: int = 0,
) -> Int64[np.ndarray, "row draw"]:
    """Drawn for every row: rows of a pool that share no document with it, each once, by the seed and the row alone.

    documents, pool: which document each token is of; first_row: the number of the first row, when these are a part of a
    text. Raises NotMeasurable where the pool has fewer such rows.
    """
    if draws < 1 or seed < 0:
        raise ValueError(f"draws={draws}, seed={seed}: draws must be at least 1, and a seed not negative")
    chosen = np.empty((len(documents), draws), dtype=np.int64)
    for row, own in enumerate(documents):
        free = np.flatnonzero(~np.isin(pool, own).any(1))
        if len(free) < draws:
            raise NotMeasurable(
                f"{len(free)} of {len(pool)} rows are of other documents, {draws} donors are needed: give more"
            )
        chosen[row] = np.random.default_rng((seed, first_row + row)).choice(free, draws, replace=False)
    return chosen


@as_in_workers()
def mean_z(model: Model, heads: Heads, reference: Prompts, by_position: bool = False) -> dict[Head, Tensor]:
    """z of each head, averaged over the rows of a reference text: [d_head], or [pos, d_head] by position.

    Padding (`ablations.padding`) is left out; positions are those of the text alone, NaN where no row has one.
    """
    model = as_model(model)
    padded, reference = padding.padding_of(model), as_tokens(model, reference)
    rows = padding.text_first(padded, reference)
    text = padding.moved_text(padded, reference)
    every = head_z(model, heads, rows)
    if bool(text.all()):
        return {head: z.mean((0,) if by_position else (0, 1)) for head, z in every.items()}
    sums = {head: torch.where(text[..., None].to(z.device), z, 0).sum(0) for head, z in every.items()}
    counts = text.sum(0)[:, None]
    return {head: z / counts.to(z.device) if by_position else z.sum(0) / int(counts.sum()) for head, z in sums.items()}


@as_in_workers()
def head_z(model: Model, heads: Heads, tokens: Prompts) -> dict[Head, Float[Tensor, "batch pos d_head"]]:
    """z of each head on a text."""
    model = as_model(model)
    asked, tokens = [check_head(head, model.cfg) for head in as_heads(heads)], as_tokens(model, tokens)
    check_tokens(model.cfg, tokens)
    names = {z_hook(head) for head in asked}
    with torch.no_grad():
        _, cache = model.run_with_cache(tokens, return_type=None, names_filter=lambda name: name in names)
    return {head: cache[z_hook(head)][:, :, head[1]] for head in asked}


def z_hook(head: Head) -> str:
    return f"blocks.{head[0]}.attn.hook_z"


def fitted(value: Tensor, like: Float[Tensor, "batch pos width"], what: str) -> Float[Tensor, "batch pos width"]:
    """A substitute in the shape, type and device of what it stands in for; raises ValueError where it does not fit."""
    try:
        return value.to(like).expand_as(like)
    except RuntimeError:
        width = "d_head" if what == "z" else "d_model"
        raise ValueError(
            f"a value of shape {list(value.shape)} does not fit {what} of shape {list(like.shape)}: "
            f"give [{width}], [pos, {width}] or [batch, pos, {width}]"
        ) from None
