"""What each head attends to, and what the model copies: per-sequence scores, so that their errors can be told.

Attention patterns are [batch, head, query, key]; every score is [batch, head], between 0 and 1.
"""

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

Patterns = Float[Tensor, "batch head query key"]
Scores = Float[Tensor, "batch head"]


def previous_token(patterns: Patterns) -> Scores:
    """Mean attention from each position to the one before it (Olsson et al. 2022)."""
    return patterns.diagonal(offset=-1, dim1=-2, dim2=-1).mean(-1)


def current_token(patterns: Patterns) -> Scores:
    """Mean attention from each position, the first apart, to itself."""
    return patterns.diagonal(dim1=-2, dim2=-1)[..., 1:].mean(-1)


def prefix_matching(patterns: Patterns, period: int) -> Scores:
    """On tokens that repeat with this period: mean attention, over all tokens but the first copy's, to the tokens that
    followed their earlier occurrences (Olsson et al. 2022, with the erratum on the target).
    """
    length = patterns.shape[-1]
    if length < 2 * period:
        raise ValueError(f"{length} positions hold no second copy of period {period}: use at least {2 * period}")
    total = torch.zeros(patterns.shape[:2])
    for distance in range(period, length, period):
        total = total + patterns.diagonal(offset=1 - distance, dim1=-2, dim2=-1)[..., 1 : length - distance + 1].sum(-1)
    return total / (length - period)


def in_context_learning(losses: Float[Tensor, "batch predicted"], early: slice, late: slice) -> Float[Tensor, " batch"]:
    """Loss late in the context minus loss early in it, in nats; more negative is more learning in context."""
    return losses[:, late].mean(1) - losses[:, early].mean(1)


def copy_gain(losses: Float[Tensor, "batch predicted"], period: int) -> Float[Tensor, " batch"]:
    """On one copy after another: how much cheaper the second copy's tokens are, in nats per token.

    losses[b, i] is the loss on token i + 1. The first token of a copy is left out: nothing announces it.
    """
    first, second = losses[:, : period - 1], losses[:, period : 2 * period - 1]
    return (first - second).mean(1)


def repeated(rows: Int64[Tensor, "batch period"], copies: int = 2) -> Int64[Tensor, "batch pos"]:
    """Each row, one copy after another."""
    return rows.repeat(1, copies)


def random_rows(counts: np.ndarray, batch: int, period: int, seed: int) -> Int64[Tensor, "batch period"]:
    """Random tokens, distinct within a row, drawn uniformly from the middle half of the unigram distribution.

    counts: occurrences of each token of the vocabulary; the middle half are the ranks from 25% to 75%.
    """
    ranked = np.argsort(-counts, kind="stable")
    middle = ranked[len(ranked) // 4 : 3 * len(ranked) // 4]
    if len(middle) < period:
        raise ValueError(
            f"a vocabulary of {len(counts)} has {len(middle)} middle tokens, {period} distinct ones are needed"
        )
    generator = np.random.default_rng(seed)
    return torch.from_numpy(
        np.stack([generator.choice(middle, period, replace=False) for _ in range(batch)]).astype(np.int64)
    )
