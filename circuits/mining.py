"""Finding patterns in text, and counting them: vectorised over whole texts, one family of offsets after another."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy import stats

from ablations.not_measurable import NotMeasurable
from circuits.multigrams import FAMILIES, LONGEST, Patterns, Text, sub_patterns


class Rates(NamedTuple):
    """How often targets follow their contexts, and how often they follow the best of their sub-patterns."""

    seen: Int[np.ndarray, " pattern"]  # of the context
    hits: Int[np.ndarray, " pattern"]  # of the context with the target
    best: Float[np.ndarray, " pattern"]  # the best sub-pattern's rate

    @property
    def log_likelihood_ratio(self) -> Float[np.ndarray, " pattern"]:
        """The log-likelihood ratio of the pattern's rate against the best sub-pattern's, in nats.

        It is negative where the pattern's rate is the lower one.
        """
        rate = self.hits / np.maximum(self.seen, 1)
        hit, miss = (_times_log(n, p, q) for n, p, q in (
            (self.hits, rate, self.best), (self.seen - self.hits, 1 - rate, 1 - self.best)
        ))  # fmt: skip
        return np.sign(rate - self.best) * (hit + miss)


def mine(text: Text, vocabulary: int, fewest: int, most: int) -> tuple[Patterns, Rates]:
    """The patterns of a text with the highest log-likelihood ratios: the `most` of n-grams and of skip n-grams of each
    length.

    fewest: hits that a pattern needs. Raises NotMeasurable for a vocabulary too large to mine: where vocabulary^4 is
    more than an int64 holds.
    """
    if vocabulary**LONGEST >= 2**63:
        raise NotMeasurable(f"a vocabulary of {vocabulary}: at most {int(2 ** (63 / LONGEST))} tokens can be mined")
    by_family = [_frequent(text, vocabulary, offsets, fewest) for offsets in FAMILIES]
    every = Patterns(*(np.concatenate(columns) for columns in zip(*by_family, strict=True)))
    rates = rate(text, every, vocabulary)
    ratio = rates.log_likelihood_ratio
    order = np.argsort(-ratio, kind="stable")
    order = order[ratio[order] > 0]
    group = every.sizes + LONGEST * every.contiguous
    chosen = np.concatenate([order[:0], *(order[group[order] == number][:most] for number in np.unique(group))])
    return every.take(chosen), Rates(*(column[chosen] for column in rates))


def rate(text: Text, patterns: Patterns, vocabulary: int) -> Rates:
    """Counts of the patterns in a text, and the rates of their best sub-patterns in the same text."""
    count, hits = tally(text, patterns, vocabulary)
    best = np.zeros(len(count))
    for which, parts in sub_patterns(patterns):
        n, k = tally(text, parts, vocabulary)
        best[which] = np.maximum(best[which], k / np.maximum(n, 1))
    return Rates(count, hits, best)


def tested(text: Text, patterns: Patterns, best: Float[np.ndarray, " pattern"], vocabulary: int) -> np.ndarray:
    """p-values [pattern]: does the target follow the context in more documents than at the best sub-pattern's rate?

    The units are documents, each with the first place in the rows where the context stands: the places of one document
    are not independent. One-sided and binomial; 1 where the context is not in the text.
    """
    count, hits = tally(text, patterns, vocabulary, by_document=True)
    return np.asarray(stats.binom.sf(hits - 1, count, best), dtype=np.float64)


def tally(
    text: Text, patterns: Patterns, vocabulary: int, by_document: bool = False
) -> tuple[Int[np.ndarray, " pattern"], Int[np.ndarray, " pattern"]]:
    """How often each context stands before a counted token, and how often before its target.

    by_document: of a document, the first such place in the rows alone.
    """
    count, hits = np.zeros((2, len(patterns.targets)), dtype=np.int64)
    documents = text.documents.ravel()
    for which, context, place in _matches(text, patterns, vocabulary):
        if by_document:
            _, first = np.unique(context * (int(documents.max()) + 1) + documents[place], return_index=True)
            context, place = context[first], place[first]
        own = _context_numbers(patterns.take(which), vocabulary)
        count[which] = np.bincount(context, minlength=own.max() + 1)[own]
        seen, counts = np.unique(context * vocabulary + text.tokens.ravel()[place], return_counts=True)
        completed = own * vocabulary + patterns.targets[which]
        rank = np.minimum(np.searchsorted(seen, completed), max(len(seen) - 1, 0))
        hits[which] = np.where(seen[rank] == completed, counts[rank], 0) if len(seen) else 0
    return count, hits


def completions(
    text: Text, patterns: Patterns, vocabulary: int
) -> tuple[Int[np.ndarray, " hit"], Int[np.ndarray, " hit"]]:
    """Every place where a pattern's target follows its context: the pattern's number, and the target's flat index."""
    numbers, places = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for which, context, place in _matches(text, patterns, vocabulary):
        own = _context_numbers(patterns.take(which), vocabulary)
        completed = own * vocabulary + patterns.targets[which]
        order = np.argsort(completed)
        here = context * vocabulary + text.tokens.ravel()[place]
        rank = np.minimum(np.searchsorted(completed[order], here), len(completed) - 1)
        hit = completed[order][rank] == here
        numbers.append(which[order[rank[hit]]])
        places.append(place[hit])
    return np.concatenate(numbers), np.concatenate(places)


def contexts(
    text: Text, patterns: Patterns, vocabulary: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Every place where a pattern's context stands before a counted token, whatever token that is.

    Yields for each family of offsets its patterns, for each of them where its places start and end in the last array,
    and that array: places as flat indices, ascending for a pattern.
    """
    for which, context, place in _matches(text, patterns, vocabulary):
        own, order = _context_numbers(patterns.take(which), vocabulary), np.argsort(context, kind="stable")
        starts, ends = (np.searchsorted(context[order], own, side) for side in ("left", "right"))
        yield which, starts, ends, place[order]


def _times_log(n: np.ndarray, p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """n log(p / q), 0 where n is 0."""
    return n * (np.log(np.maximum(p, 1e-12)) - np.log(np.maximum(q, 1e-12)))


def _shifted(text: Text, offsets: Sequence[int]) -> tuple[np.ndarray, list[np.ndarray]]:
    """Flat places of targets that have all these offsets within their row and document, and the tokens there."""
    reach = max(offsets, default=0)
    row, pos = np.nonzero(text.counted[:, reach + 1 :] & (text.positions[:, reach + 1 :] >= reach))
    place = row * text.tokens.shape[1] + pos + reach + 1
    flat = text.tokens.ravel()
    return place, [flat[place - offset].astype(np.int64) for offset in offsets]


def _keys(columns: Sequence[np.ndarray], vocabulary: int, length: int) -> Int[np.ndarray, " place"]:
    """A number for each place by its tokens in these columns, equal where all are equal."""
    key = np.zeros(length, dtype=np.int64)
    for column in columns:
        key = key * vocabulary + column
    return key


def _context_numbers(patterns: Patterns, vocabulary: int) -> np.ndarray:
    """A number for each context of patterns with equal offsets: its rank among the different ones."""
    return np.unique(_keys(list(patterns.tokens.T), vocabulary, len(patterns.targets)), return_inverse=True)[1]


def _matches(text: Text, patterns: Patterns, vocabulary: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yields for each family of offsets the patterns, every place after one of their contexts, and its number."""
    families, family_number = np.unique(patterns.offsets, axis=0, return_inverse=True)
    for number, family in enumerate(families):
        which = np.flatnonzero(family_number.ravel() == number)
        offsets = [int(offset) for offset in family if offset]
        place, columns = _shifted(text, offsets)
        padded = [*columns, *[np.zeros(len(place), np.int64)] * (LONGEST - len(offsets))]
        here = _keys(padded, vocabulary, len(place))
        own_contexts = np.unique(_keys(list(patterns.tokens[which].T), vocabulary, len(which)))
        rank = np.minimum(np.searchsorted(own_contexts, here), len(own_contexts) - 1)
        stands = own_contexts[rank] == here
        yield which, rank[stands], place[stands]


def _frequent(text: Text, vocabulary: int, offsets: tuple[int, ...], fewest: int) -> Patterns:
    """All patterns with these offsets that have so many hits."""
    place, columns = _shifted(text, offsets)
    target = text.tokens.ravel()[place].astype(np.int64)
    contexts, rank, seen = np.unique(_keys(columns, vocabulary, len(place)), return_inverse=True, return_counts=True)
    often = seen[rank] >= fewest
    keys, counts = np.unique(rank[often] * vocabulary + target[often], return_counts=True)
    keys = keys[counts >= fewest]
    context, offsets_and_tokens = contexts[keys // vocabulary], np.zeros((2, len(keys), LONGEST), dtype=np.int64)
    for column, offset in reversed(list(enumerate(offsets))):
        offsets_and_tokens[0, :, column], offsets_and_tokens[1, :, column] = offset, context % vocabulary
        context //= vocabulary
    return Patterns(offsets_and_tokens[0], offsets_and_tokens[1], keys % vocabulary)
