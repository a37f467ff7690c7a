"""The tokens that a change affects most: an exact list, whatever the order and the pieces the text comes in.

Order: the effect rounded to a micronat, then document, then position; a token's document and position are its own, so
the order is total. Within a document, of the tokens with equal last tokens before them and equal target the first in
that order stays, and of these the first five; over all documents, again the first of equals, and of these the first k.
Each step keeps the best of groups, so a stream needs no more than five hits a document.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

CONTEXT = 4  # tokens before the target that make two hits alike
PER_DOCUMENT = 5
BEFORE = 32  # tokens that a scored one has before it in its row, at least


class Hits(NamedTuple):
    """Tokens of a text, and what a change does to the loss on each."""

    effect: Int[np.ndarray, " hit"]  # in micronats; positive: the loss rises
    document: Int[np.ndarray, " hit"]
    position: Int[np.ndarray, " hit"]  # in the document
    row: Int[np.ndarray, " hit"]
    pos: Int[np.ndarray, " hit"]  # of the target in the row
    likeness: Int[np.ndarray, "hit five"]  # the last tokens before the target, and the target

    def take(self, index: np.ndarray) -> "Hits":
        return Hits(*(column[index] for column in self))


def scored(
    effects: Float[np.ndarray, "row predicted"],
    tokens: Int[np.ndarray, "row pos"],
    documents: Int[np.ndarray, "row pos"],
    positions: Int[np.ndarray, "row pos"],
    bos: int,
    first_row: int = 0,
) -> Hits:
    """Effects (entry [r, i] is token i + 1's) on the tokens of rows that have enough before them and are not BOS.

    Raises ValueError for rows that are too short, effects that are not finite or not one for each predicted token, and
    documents or positions that are not one for each token.
    """
    if tokens.shape[1] <= BEFORE:
        raise ValueError(f"rows of {tokens.shape[1]} tokens: a scored token has {BEFORE} before it, use longer rows")
    rows, length = tokens.shape
    shapes = {"effects": (effects, [rows, length - 1]), "documents": (documents, [rows, length])}
    for name, (array, wanted) in (shapes | {"positions": (positions, [rows, length])}).items():
        if list(array.shape) != wanted:
            raise ValueError(f"{name} {list(array.shape)} for tokens {[rows, length]}: give {wanted}")
    if not np.isfinite(effects).all():
        raise ValueError("an effect is not finite: the model or the substitute is broken")
    row, pos = np.nonzero(tokens[:, BEFORE:] != bos)
    pos = pos + BEFORE
    likeness = np.stack([tokens[row, pos - back] for back in range(CONTEXT, -1, -1)], axis=1)
    return Hits(
        effect=np.rint(effects[row, pos - 1].astype(np.float64) * 1e6).astype(np.int64),
        document=documents[row, pos].astype(np.int64),
        position=positions[row, pos].astype(np.int64),
        row=row + first_row,
        pos=pos,
        likeness=likeness.astype(np.int64),
    )


def joined(parts: list[Hits]) -> Hits:
    """Several parts of a text."""
    return Hits(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def per_document(hits: Hits, sign: int) -> Hits:
    """What can still be in the list: sign 1 for the tokens that the change hurts most, -1 for those it helps most."""
    hits = hits.take(_order(hits, sign))
    hits = hits.take(_firsts(np.column_stack([hits.document, hits.likeness])))
    by_document = np.argsort(hits.document, kind="stable")
    starts = np.flatnonzero(np.diff(hits.document[by_document], prepend=-1))
    rank = np.arange(len(by_document)) - np.repeat(starts, np.diff(np.append(starts, len(by_document))))
    return hits.take(np.sort(by_document[rank < PER_DOCUMENT]))


def top(hits: Hits, sign: int, k: int) -> Hits:
    """The list itself."""
    if k < 1:
        raise ValueError(f"k={k}: a list holds at least one token")
    hits = per_document(hits, sign)
    return hits.take(_firsts(hits.likeness)[:k])


def _order(hits: Hits, sign: int) -> Int[np.ndarray, " hit"]:
    return np.lexsort((hits.position, hits.document, -sign * hits.effect))


def _firsts(keys: Int[np.ndarray, "hit key"]) -> Int[np.ndarray, " first"]:
    """Index of the first of each group of equal keys, in order."""
    order = np.lexsort(keys.T)  # stable
    same = (np.diff(keys[order], axis=0) == 0).all(1)
    return np.sort(order[np.insert(~same, 0, True)]) if len(keys) else order
