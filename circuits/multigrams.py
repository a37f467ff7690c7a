"""Multigrams: what the last 16 tokens say of the next one, and how much of it a model knows.

A pattern is a context, a set of (offset, token), and a target: at distance `offset` before the target stands `token`.
    {(1, "import"), (2, "\\n")} -> " numpy"          contiguous (offsets 1 to n): an n-gram
    {(1, "("), (7, "isinstance")} -> "self"          gapped: a skip n-gram
Its sub-patterns have the same target and fewer tokens of context, down to none (the unigram).

It is a pattern of the text when, on held-out documents, the target follows the context more often than it follows the
best of its sub-patterns in the training text: `mining.tested`. It is a multigram of a model when the model needs just
this context: with everything else taken from other documents the target keeps at least 80% of its gain over the
unigram, and with no sub-pattern alone does it: `known`. Everything else is tokens of other documents for an n-gram
(`context_gain`), and for a skip n-gram what the text has around the context wherever it stands (`natural_gain`).

Tokens that repeat a pair from earlier in the row, or close a bracket or a quote, are taken out before anything is
counted (`Text.counted`), since other heads than those that memorise can serve them.

Example: of the bigram 7 -> 9 and the skip n-gram 5 _ 7 -> 9, the sub-patterns are

    >>> import numpy as np
    >>> from circuits import multigrams
    >>> patterns = multigrams.Patterns(
    ...     offsets=np.array([[1, 0, 0, 0], [1, 3, 0, 0]]), tokens=np.array([[7, 0, 0, 0], [7, 5, 0, 0]]),
    ...     targets=np.array([9, 9]),
    ... )
    >>> patterns.contiguous
    array([ True, False])
    >>> for which, parts in multigrams.sub_patterns(patterns):
    ...     print(which, parts.offsets.tolist())
    [0] [[0, 0, 0, 0]]
    [1] [[0, 0, 0, 0]]
    [1] [[1, 0, 0, 0]]
    [1] [[3, 0, 0, 0]]
"""

from collections.abc import Iterator
from itertools import combinations
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Integer
from scipy import stats

from ablations.effects import FEWEST_DEGREES

REACH = 16  # the largest offset
LONGEST = 4  # tokens of context, at most
RATE = 0.05  # false discoveries
KEPT = 0.8  # of the gain over the unigram
FEWEST = 20  # completions that an effect is a mean of
FAMILIES: tuple[tuple[int, ...], ...] = (
    *((k,) for k in range(1, REACH + 1)),
    *((1, k) for k in range(2, REACH + 1)),
    *((1, 2, k) for k in range(3, REACH + 1)),
    (1, 2, 3, 4),
)  # offsets of the contexts that are looked for


class Text(NamedTuple):
    """Rows of tokens. A context lies within a row and a document; the row's first token is never part of one."""

    tokens: Integer[np.ndarray, "row pos"]
    documents: Int[np.ndarray, "row pos"]
    positions: Int[np.ndarray, "row pos"]  # in the document
    counted: Bool[np.ndarray, "row pos"]  # which tokens can be targets


class Patterns(NamedTuple):
    """Contexts, padded with offset 0, and their targets."""

    offsets: Int[np.ndarray, "pattern longest"]  # ascending, then zeros
    tokens: Int[np.ndarray, "pattern longest"]
    targets: Int[np.ndarray, " pattern"]

    def take(self, index: np.ndarray) -> "Patterns":
        """The patterns at these numbers, or where a mask is true."""
        return Patterns(*(column[index] for column in self))

    @property
    def sizes(self) -> Int[np.ndarray, " pattern"]:
        """Tokens in the context of each pattern."""
        return (self.offsets > 0).sum(1)

    @property
    def contiguous(self) -> Bool[np.ndarray, " pattern"]:
        """Which patterns are n-grams; all others are skip n-grams."""
        return self.offsets.max(1) == self.sizes


def sub_patterns(patterns: Patterns) -> Iterator[tuple[np.ndarray, Patterns]]:
    """Yields for each way to leave tokens of the context out which patterns have it, and what is left of them."""
    sizes = patterns.sizes
    for size in range(1, LONGEST + 1):
        which = np.flatnonzero(sizes == size)
        if not len(which):
            continue
        for kept in (kept for fewer in range(size) for kept in combinations(range(size), fewer)):
            offsets, tokens = np.zeros((2, len(which), LONGEST), dtype=np.int64)
            offsets[:, : len(kept)] = patterns.offsets[which][:, kept]
            tokens[:, : len(kept)] = patterns.tokens[which][:, kept]
            yield which, Patterns(offsets, tokens, patterns.targets[which])


def known(
    whole: Float[np.ndarray, " pattern"],
    alone: Float[np.ndarray, " pattern"],
    best_part: Float[np.ndarray, " pattern"],
) -> Bool[np.ndarray, " pattern"]:
    """Which patterns are multigrams of a model: those it knows from this context alone and from no part of it.

    whole, alone, best_part: gains over the unigram in nats, where the pattern stands in real text, with the context
    alone, and the largest with a sub-pattern alone (of a skip n-gram: with one token of the context replaced). Raises
    ValueError for a gain that is not a number.
    """
    if any(np.isnan(gains).any() for gains in (whole, alone, best_part)):
        raise ValueError("a gain is nan: the model's losses are not numbers, take another checkpoint")
    enough = KEPT * whole
    return (whole > 0) & (alone >= enough) & (best_part < enough)


def learned(
    effect: Float[np.ndarray, "head hit"],
    numbers: Int[np.ndarray, " hit"],
    documents: Int[np.ndarray, " hit"],
    count: int,
) -> tuple[Float[np.ndarray, "head pattern"], Float[np.ndarray, "head pattern"], Float[np.ndarray, "head pattern"]]:
    """Mean effect of removing each head on the completions of each pattern, its standard error clustered by document,
    and p of no positive effect (one-sided, Student's t), error and `degrees` as in `ablations.effects.clustered`.

    numbers: the pattern of each completion, below `count`. NaN for patterns with fewer than `FEWEST` completions, or of
    one document only. Raises ValueError for an effect that is not finite, which would pass as no effect.
    """
    if not np.isfinite(effect).all():
        raise ValueError("an effect is not finite: the model or the substitute is broken")
    clusters, cluster = np.unique(np.stack([numbers, documents]), axis=1, return_inverse=True)
    pattern, cluster = clusters[0], cluster.ravel()
    size = np.bincount(cluster)
    hits, groups = (np.bincount(index, minlength=count) for index in (numbers, pattern))
    testable = (hits >= FEWEST) & (groups > 1)
    mean, se = np.full((2, len(effect), count), np.nan)
    for head, row in enumerate(effect):
        sums = np.bincount(cluster, weights=row)
        mean[head] = np.bincount(numbers, weights=row, minlength=count) / np.maximum(hits, 1)
        pulls = (sums - mean[head][pattern] * size) / np.maximum(hits[pattern] - size, 1)
        squares = np.bincount(pattern, weights=pulls**2, minlength=count)
        se[head] = np.sqrt((groups - 1) / np.maximum(groups, 1) * squares)
    mean, se = (np.where(testable, values, np.nan) for values in (mean, se))
    p = stats.t.sf(mean / np.where(se > 0, se, np.nan), _degrees(pattern, size, count))
    return mean, se, np.where(testable & np.isnan(p), 1.0, p)


def degrees(
    numbers: Int[np.ndarray, " hit"], documents: Int[np.ndarray, " hit"], count: int
) -> Float[np.ndarray, " pattern"]:
    """Degrees of freedom of each pattern's error in `learned`: `effects.degrees_of_freedom` of its completions."""
    clusters, size = np.unique(np.stack([numbers, documents]), axis=1, return_counts=True)
    return _degrees(clusters[0], size, count)


def _degrees(pattern: np.ndarray, size: np.ndarray, count: int) -> Float[np.ndarray, " pattern"]:
    """The same, of clusters that are told apart already: the pattern of each, and how many completions it has."""
    hits, squares = (np.bincount(pattern, weights=weights, minlength=count) for weights in (size, size**2))
    return np.maximum(FEWEST_DEGREES, hits**2 / np.maximum(squares, 1) - 1)
