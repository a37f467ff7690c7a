"""Documents of the synthetic language, token by token with what wrote each and how probable it was.

Where nothing is under way, one of these begins, with the language's rates; a plain word where it is none of them:
    a phrase   the words of a pattern's context, free places filled with plain words, then its target with the
               language's probability, else a plain word
    a segment  of `repeat_length` different words that no segment of the document has had: a segment word, then segment
               words and plain ones; or a copy of an earlier segment
    a bracket  an opener; what begins after it is inside, brackets of its own and other types included, until it is
               closed: after each thing inside with probability `CLOSE`. Quotes hold plain words alone
A document is cut at the language's length, so a bracket or a phrase may be left open at its end. What is under way can
be told from the text alone, so each token's probability given all before it is known, and with it the least loss that
any model can have.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import chain
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int8, Int16, Int64

from experiments.corpora.python_sources import Document
from experiments.corpora.synthetic_language import MARKS, Language, Truth, closing, strings, truth

VERSION = 1  # raised by hand when the same language is written differently
KINDS = ("plain", "context", "free", "target", "miss", "new", "first", "copy", "opener", "closer")
HELD_OUT_EVERY = 10  # documents
CLOSE = 0.3
COPY = 0.75  # of segments, where there is one to copy
DEEPEST = 3  # brackets open at once
QUOTES = 0.25  # of openers
_PLAIN, _CONTEXT, _FREE, _TARGET, _MISS, _NEW, _FIRST, _COPY, _OPENER, _CLOSER = range(len(KINDS))
_ID = {mark: 1 + number for number, mark in enumerate(MARKS)}


class Written(NamedTuple):
    """A document: the token, what wrote it, the pattern it is of (-1: none), and its log-probability in nats.

    Kinds are indices into `KINDS`: a plain word; a word of a context, a free place in one, its target, or the plain
    word that stands where the target was due; a word of a new segment, the first of a copy, or another of it; an
    opener, a closer. `pattern` is an index into the truth's patterns.
    """

    tokens: Int64[np.ndarray, "*place"]
    kind: Int8[np.ndarray, "*place"]
    pattern: Int16[np.ndarray, "*place"]
    log_probability: Float[np.ndarray, "*place"]


Token = tuple[int, int, int, float]  # id, kind, pattern, probability


class _Known(NamedTuple):
    """What every page of a language looks up."""

    rates: tuple[tuple[str, float], ...]
    shares: list[float]  # of every token, as a plain word
    segment: frozenset[int]
    begins: dict[str, list[int]]  # patterns by kind
    steps: list[
        list[tuple[int, float]]
    ]  # of each pattern: every word of its context, or 0, and its share given the last


class _Page(NamedTuple):
    """A document being written."""

    truth: Truth
    known: _Known
    random: Callable[[], float]
    words: Iterator[int]  # plain ones
    unused: list[int]  # words for new segments
    segments: list[list[int]]
    open: list[str]  # openers


def documents(language: Language) -> list[Document]:
    """All documents of the language, one in ten held out."""
    planted, words = truth(language), ("", *strings(language.words))
    texts = []
    for number in range(language.documents):
        text = " ".join(words[token] for token in written(planted, number).tokens)
        texts.append(Document("text", "test" if number % HELD_OUT_EVERY == HELD_OUT_EVERY - 1 else "train", text))
    return texts


def written(planted: Truth, number: int) -> Written:
    """One document; it depends on the language and its number alone."""
    generator, length = np.random.default_rng([planted.language.seed, 1, number]), planted.language.length
    unused = [*planted.segment.tolist(), *planted.plain.tolist()]
    draws = iter(lambda: generator.choice(planted.plain, length, p=planted.plain_shares).tolist(), None)
    words = chain.from_iterable(draws)
    page = _Page(planted, _known(planted.language), generator.random, words, unused, [], [])
    tokens: list[Token] = []
    while len(tokens) < length:
        tokens += _next(page, bool(tokens) and tokens[-1][1] == _OPENER)
    token, kind, pattern, probability = (np.array(column) for column in zip(*tokens[:length], strict=True))
    return Written(token, kind.astype(np.int8), pattern.astype(np.int16), np.log(probability))


def _next(page: _Page, just_opened: bool) -> list[Token]:
    """The tokens that come where nothing is under way."""
    going_on = 1.0
    if page.open and not just_opened:
        if page.random() < CLOSE:
            return [(_ID[closing(page.open.pop())], _CLOSER, -1, CLOSE)]
        going_on -= CLOSE
    left, at = 1.0, page.random()
    for what, rate in page.known.rates:
        possible = {"bracket": len(page.open) < DEEPEST, "repeat": bool(page.segments) or _has_words(page)}
        if not possible.get(what, True):
            continue
        if at < rate:
            begin = {"bracket": _bracket, "repeat": _segment}.get(what)
            return begin(page, going_on * rate) if begin else _phrase(page, what, going_on * rate)
        left, at = left - rate, at - rate
    word = next(page.words)
    return [(word, _PLAIN, -1, going_on * left * page.known.shares[word])]


def _phrase(page: _Page, kind: str, probability: float) -> list[Token]:
    """A pattern of this kind: its context, then its target or a plain word; probability: that the kind begins here."""
    among, shares = page.known.begins[kind], page.known.shares
    number = among[int(page.random() * len(among))]
    pattern, tokens = page.truth.patterns[number], []
    for word, share in page.known.steps[number]:
        if word:
            tokens.append((word, _CONTEXT, number, probability * share))
        else:
            word = next(page.words)
            tokens.append((word, _FREE, number, probability * shares[word]))
        probability = 1.0
    hit = page.random() < pattern.probability
    word = pattern.target if hit else next(page.words)
    due = pattern.probability * (word == pattern.target)  # a plain word can be the target by chance
    chance = due + (1 - pattern.probability) * shares[word]
    return [*tokens, (word, _TARGET if hit else _MISS, number, chance)]


def _segment(page: _Page, probability: float) -> list[Token]:
    """A new segment, or a copy of an earlier one; probability: that one of either begins here."""
    copied = (COPY if _has_words(page) else 1.0) if page.segments else 0.0
    if page.random() < copied:
        first, *others = page.segments[int(page.random() * len(page.segments))]
        chance = probability * copied / len(page.segments)
        return [(first, _FIRST, -1, chance), *((word, _COPY, -1, 1.0) for word in others)]
    starts = [word for word in page.unused if word in page.known.segment]
    segment = [starts[int(page.random() * len(starts))]]
    page.unused.remove(segment[0])
    tokens: list[Token] = [(segment[0], _NEW, -1, probability * (1 - copied) / len(starts))]
    while len(segment) < page.truth.language.repeat_length:
        left = len(page.unused)
        segment.append(page.unused.pop(int(page.random() * left)))
        tokens.append((segment[-1], _NEW, -1, 1 / left))
    page.segments.append(segment)
    return tokens


def _has_words(page: _Page) -> bool:
    """Whether enough unused words are left for another segment, with one that can begin it."""
    enough = len(page.unused) >= page.truth.language.repeat_length
    return enough and not page.known.segment.isdisjoint(page.unused)


def _bracket(page: _Page, probability: float) -> list[Token]:
    """An opening bracket, or a quotation with its closing mark; probability: that one of either begins here."""
    if page.random() >= QUOTES:
        page.open.append("([{"[int(page.random() * 3)])
        return [(_ID[page.open[-1]], _OPENER, -1, probability * (1 - QUOTES) / 3)]
    mark = _ID["\"'"[int(page.random() * 2)]]
    tokens, going_on = [(mark, _OPENER, -1, probability * QUOTES / 2)], 1.0
    while going_on == 1 or page.random() >= CLOSE:
        word = next(page.words)
        tokens.append((word, _PLAIN, -1, going_on * page.known.shares[word]))
        going_on = 1 - CLOSE
    return [*tokens, (mark, _CLOSER, -1, CLOSE)]


@lru_cache(maxsize=8)
def _known(language: Language) -> _Known:
    """The tables that every page of this language looks up."""
    planted = truth(language)
    shares = np.zeros(1 + len(MARKS) + language.words)
    shares[planted.plain] = planted.plain_shares
    begins: dict[str, list[int]] = {}
    for number, pattern in enumerate(planted.patterns):
        begins.setdefault(pattern.kind, []).append(number)
    return _Known(
        tuple(language.rates.items()),
        shares.tolist(),
        frozenset(planted.segment.tolist()),
        begins,
        list(_steps(planted)),
    )


def _steps(planted: Truth) -> Iterator[list[tuple[int, float]]]:
    """Yields for each pattern every place of its context: its word (0: free), and its share given the words before."""
    prefixes: dict[tuple, int] = {}
    for pattern in planted.patterns:
        for size in range(len(pattern.tokens) + 1):
            key = (pattern.kind, pattern.tokens[:size])
            prefixes[key] = prefixes.get(key, 0) + 1
    for pattern in planted.patterns:
        steps, seen = [], 0
        for offset in range(pattern.offsets[0], 0, -1):
            if offset not in pattern.offsets:
                steps.append((0, 1.0))
                continue
            before, after = ((pattern.kind, pattern.tokens[:size]) for size in (seen, seen + 1))
            steps.append((pattern.tokens[seen], prefixes[after] / prefixes[before]))
            seen += 1
        yield steps
