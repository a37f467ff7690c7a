"""What stands in for the z of heads that are removed, row by row of a text: zero, a mean, or other documents' values.

A substitute gives, for some rows of the text, one mapping from head to z for every draw; an effect is the mean over
draws. z by head: [d_head], [pos, d_head] or [row, pos, d_head].
"""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, Int64
from torch import Tensor

from ablations import forward, padding, rerun
from ablations.changes import Change
from ablations.forward import Weights
from ablations.heads import other_rows
from ablations.models import Config
from ablations.names import Head, all_heads, all_mlps
from ablations.not_measurable import NotMeasurable
from ablations.paths import Source, path_name
from ablations.running import as_in_workers

Values = Mapping[Head, Tensor] | Mapping[Source, Tensor]
Substitutes = Callable[[slice], list[Values]]


class Pool(NamedTuple):
    """Rows that donate their z, and the documents in them."""

    z: list[Float[Tensor, "row pos head d_head"]]  # by layer
    documents: Int[np.ndarray, "row pos"]


def fixed(values: Values) -> Substitutes:
    """The same on every row: one draw. Values are [d_head] or [pos, d_head]; raises ValueError for others."""
    wrong = next((value for value in values.values() if value.ndim > 2), None)
    if wrong is not None:
        raise ValueError(
            f"a value of shape {list(wrong.shape)} is not the same on every row: give [d_head] or [pos, d_head]"
        )
    return lambda rows: [values]


def zeros(cfg: Config) -> Substitutes:
    """z = 0: the head writes nothing, b_O stays; and nothing in place of what an MLP writes."""
    nothing: dict[Source, Tensor] = {head: torch.zeros(cfg.d_head) for head in all_heads(cfg)}
    return fixed(nothing | {mlp: torch.zeros(cfg.d_model) for mlp in all_mlps(cfg)})


def check_mlps(changes: Iterable[Change], values: Values, cfg: Config) -> None:
    """Raises ValueError where a path from an MLP is cut and nothing is given for what the MLP writes."""
    missing = {mlp for mlp in all_mlps(cfg) if mlp not in values}
    if path := next((path for change in changes for path in change.cuts if path.source in missing), None):
        raise ValueError(
            f"{path_name(path)}: means and other documents' values are those of heads, cut paths from MLPs to zero"
        )


def means(
    weights: Weights,
    cfg: Config,
    reference: Int64[Tensor, "row pos"],
    by_position: bool = False,
    rows_at_once: int = 16,
) -> Substitutes:
    """The mean z over a reference text, over all positions or at each position by itself."""
    return fixed(mean_z(weights, cfg, reference, by_position, rows_at_once))


@as_in_workers()
def mean_z(
    weights: Weights,
    cfg: Config,
    reference: Int64[Tensor, "row pos"],
    by_position: bool = False,
    rows_at_once: int = 16,
) -> dict[Head, Tensor]:
    """z of every head, averaged over a reference text: [d_head], or [pos, d_head] by position.

    Padding (`ablations.padding`) is left out; positions are those of the text alone, NaN where no row has one.
    """
    if len(reference) == 0:
        raise NotMeasurable("the reference text has no rows: a mean needs at least one")
    padded, totals = padding.marked(weights), list[Tensor]()
    text = padding.moved_text(padded, reference)
    with torch.no_grad():
        for rows, own in zip(reference.split(rows_at_once), text.split(rows_at_once), strict=True):
            run = rerun.clean_run(weights, cfg, padding.text_first(padded, rows))
            sums = [torch.where(own[..., None, None].to(z.device), z, 0).sum(0) for z in run.z]
            totals = [a + b for a, b in zip(totals, sums, strict=True)] if totals else sums
    counts = text.sum(0)[:, None, None].to(totals[0].device)  # rows that have each position
    means = [total / counts if by_position else total.mean(0) / counts.double().mean().item() for total in totals]
    return {(layer, head): means[layer][..., head, :] for layer, head in all_heads(cfg)}


@as_in_workers()
def pool(
    weights: Weights,
    cfg: Config,
    tokens: Int64[Tensor, "row pos"],
    documents: Int[np.ndarray, "row pos"],
    rows_at_once: int = 16,
) -> Pool:
    """Runs the model on the donors' rows and keeps their z.

    Raises ValueError unless each token has its document, and for padded rows.
    """
    if tuple(np.shape(documents)) != tuple(tokens.shape):
        raise ValueError(f"documents {list(np.shape(documents))} for tokens {list(tokens.shape)}: give one a token")
    padding.check_unpadded(padding.marked(weights), tokens, "rows that donate their values")
    with torch.no_grad():
        parts = [rerun.clean_run(weights, cfg, rows).z for rows in tokens.split(rows_at_once)]
    return Pool([torch.cat(layer) for layer in zip(*parts, strict=True)], np.asarray(documents))


def own_values(weights: Weights, cfg: Config, tokens: Int64[Tensor, "row pos"]) -> Substitutes:
    """What the z of each head would be if it attended to the token itself alone: its value at the query's own place,
    as the clean run has it; one draw. Rows are those of `tokens`. Raises ValueError for padded rows.
    """
    padding.check_unpadded(padding.marked(weights), tokens, "rows whose heads attend to the token itself")

    def substitutes(rows: slice) -> list[Values]:
        clean, values = rerun.clean_run(weights, cfg, tokens[rows]), dict[Head, Tensor]()
        for layer in range(cfg.n_layers):
            heads = forward.head_weights(weights, layer)
            read = forward.readings(weights, cfg, layer, clean.residuals[layer])
            value = forward.received(read, "v", heads.W_V, heads.b_V)
            values |= {(layer, head): value[:, :, head] for head in range(value.shape[2])}
        return [values]

    return substitutes


def resamples(
    donors: Pool, documents: Int[np.ndarray, "row pos"], draws: int, seed: int, first_row: int = 0
) -> Substitutes:
    """The z of other documents at the same position: for every row of the text, `draws` rows of the pool.

    documents: those of the text; first_row: the number of its first row, when it is a part of one. Raises NotMeasurable
    where the pool has fewer rows without a document of the row.
    """
    chosen = torch.from_numpy(other_rows(documents, donors.documents, seed, draws, first_row))
    length = documents.shape[1]

    def substitutes(rows: slice) -> list[Values]:
        return [
            {
                (layer, head): z[:, :, head]
                for layer in range(len(donors.z))
                for z in (donors.z[layer][chosen[rows, draw], :length],)
                for head in range(z.shape[2])
            }
            for draw in range(draws)
        ]

    return substitutes
