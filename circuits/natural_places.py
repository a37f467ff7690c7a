"""Places where contexts stand in text, and what else stands there: fillings of their gaps, and of their own places."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from circuits import mining
from circuits.multigrams import FEWEST, REACH, Patterns, Text

PLACES = 2 * FEWEST  # of a context that are looked at
OTHERS = 10 * PLACES  # places of the rest of a context that other tokens are taken from
FILLED = 0.5  # of the places, at most, have one filling of the gap, or the pattern is an n-gram with it


class Places(NamedTuple):
    """Where contexts stand, whatever comes next; ascending by pattern."""

    numbers: Int[np.ndarray, " place"]  # of the pattern
    flat: Int[np.ndarray, " place"]  # index of the token that comes next, in the flattened rows

    def take(self, index: np.ndarray) -> "Places":
        """The places at these numbers, or where a mask is true."""
        return Places(*(column[index] for column in self))


def places(text: Text, patterns: Patterns, vocabulary: int, most: int = PLACES) -> Places:
    """Where each pattern's context stands before a counted token: so many places at most, evenly spread."""
    found = [Places(np.zeros(0, np.int64), np.zeros(0, np.int64))]
    for which, starts, ends, flat in mining.contexts(text, patterns, vocabulary):
        for number, start, end in zip(which.tolist(), starts.tolist(), ends.tolist(), strict=True):
            own = start + _spread(end - start, min(end - start, most))
            found.append(Places(np.full(len(own), number), flat[own]))
    joined = Places(*(np.concatenate(columns) for columns in zip(*found, strict=True)))
    return joined.take(np.argsort(joined.numbers, kind="stable"))


def varied(text: Text, patterns: Patterns, at: Places) -> Bool[np.ndarray, " pattern"]:
    """Whether the gap varies: no filling of the free places nearer than the context's first token is there in more than
    half of the places.
    """
    count, back = len(patterns.targets), np.arange(1, REACH + 1)
    free = (back < patterns.offsets.max(1, initial=0)[:, None]) & (patterns.offsets[:, None] != back[:, None]).all(2)
    gap = np.where(free[at.numbers], text.tokens.ravel()[np.maximum(at.flat[:, None] - back, 0)].astype(np.int64), -1)
    filled, often = np.unique(np.column_stack([at.numbers, gap]), axis=0, return_counts=True)
    commonest = np.zeros(count, dtype=np.int64)
    np.maximum.at(commonest, filled[:, 0], often)
    return free.any(1) & (commonest <= FILLED * np.bincount(at.numbers, minlength=count))


def others(text: Text, patterns: Patterns, at: Places, vocabulary: int) -> Iterator[tuple[np.ndarray, int, np.ndarray]]:
    """Yields for each column of the contexts the places whose pattern has it and whose token there can be replaced, and
    the tokens that replace it: in turn those that stand there elsewhere, where the rest of the context stands.
    """
    flat, documents, width = text.tokens.ravel(), text.documents.ravel(), text.tokens.shape[1]
    bounds = np.searchsorted(at.numbers, np.arange(len(patterns.targets) + 1))
    for column in range(int(patterns.sizes.max(initial=0))):
        kept = (_without(patterns.offsets, column), _without(patterns.tokens, column))
        rest = Patterns(kept[0], kept[1], patterns.targets)
        pool = places(text, rest, vocabulary, OTHERS)
        offset = patterns.offsets[pool.numbers, column]
        inside = (pool.flat % width > offset) & (documents[pool.flat - offset] == documents[pool.flat])
        tokens = flat[pool.flat - offset].astype(np.int64)
        pool_of = np.flatnonzero(inside & (tokens != patterns.tokens[pool.numbers, column]))
        ends = np.searchsorted(pool.numbers[pool_of], np.arange(len(patterns.targets) + 1))
        which, others = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        for number in np.flatnonzero((patterns.offsets[:, column] > 0) & (np.diff(ends) > 0)):
            own, among = np.arange(*bounds[number : number + 2]), tokens[pool_of[ends[number] : ends[number + 1]]]
            which.append(own)
            others.append(among[_spread(len(among), len(own))])
        yield np.concatenate(which), column, np.concatenate(others)


def _spread(length: int, count: int) -> Int[np.ndarray, " count"]:
    """So many numbers below the length, evenly spread; some are there several times where it is less than the count."""
    return np.arange(count) * length // max(count, 1)


def _without(table: Int[np.ndarray, "pattern longest"], column: int) -> Int[np.ndarray, "pattern longest"]:
    return np.pad(np.delete(table, column, axis=1), ((0, 0), (0, 1)))
