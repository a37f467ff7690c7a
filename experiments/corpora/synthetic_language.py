"""A language whose every pattern is known: its arguments, its words, and what is planted in it.

`synthetic_text` writes documents in it.

Every word has one role, drawn from the seed:
    plain     words that stand anywhere, Zipf distributed; all targets are among them
    segment   words that begin random segments, some of which are copied later in the document; plain words are in them
    context   words of contexts, each of one block of patterns of one kind
Patterns with several words of context come in blocks: the `SIDE` words of a block stand in all orders, each of them at
each place, and each order has a target of its own. So the whole context gives the target with the language's
probability p, any part of it with p / SIDE or less, and which word stands where must be known: "a b" and "b a" have
different targets. Words of different blocks never stand together in a context.
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import lru_cache
from itertools import product
from keyword import iskeyword
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int64

from circuits.brackets import KINDS as CLOSERS
from circuits.multigrams import LONGEST, Patterns
from experiments.corpora.names import SYNTHETIC

MARKS = ("(", ")", "[", "]", "{", "}", '"', "'")
PLAIN, SEGMENT = 96, 128  # words of these roles
SIDE = 4  # words of a block of patterns

# How far before the target each word of a context stands, in the order of the text; "skip_bigram" takes turns.
CONTEXTS: dict[str, tuple[tuple[int, ...], ...]] = {
    "bigram": ((1,),),  # u -> v
    "trigram": ((2, 1),),  # a b -> c
    "fourgram": ((3, 2, 1),),  # a b c -> d
    "skip_bigram": ((2,), (3,)),  # a _ -> c and a _ _ -> c
    "skip_trigram": ((3, 1),),  # a _ b -> c
}


@dataclass(frozen=True)
class Language:
    """How much of each thing the language has. A rate is the probability that it begins where nothing is under way."""

    bigrams: int = 32
    trigrams: int = 64
    fourgrams: int = 64
    skip_bigrams: int = 16
    skip_trigrams: int = 32
    bigram_rate: float = 0.07
    trigram_rate: float = 0.07
    fourgram_rate: float = 0.05
    skip_bigram_rate: float = 0.04
    skip_trigram_rate: float = 0.04
    probability: float = 0.8  # of the target after its context
    repeat_rate: float = 0.2  # of random segments and their copies
    repeat_length: int = 16  # words of a segment
    bracket_rate: float = 0.08  # of openers of brackets and quotes
    words: int = 311
    length: int = 126  # tokens of a document: with its BOS and the next, a row of 128
    documents: int = 30_000
    seed: int = 0

    def __post_init__(self) -> None:
        for field in fields(self):
            value, is_share = getattr(self, field.name), isinstance(field.default, float)
            if value < 0 or (is_share and value > 1):
                raise ValueError(
                    f"{SYNTHETIC}: {field.name}={value}: give {'a share from 0 to 1' if is_share else '0 or more'}"
                )
        for kind in CONTEXTS:
            if self.count(kind) % _block(kind):
                raise ValueError(
                    f"{SYNTHETIC}: {kind}s={self.count(kind)}: they come in blocks, give a multiple of {_block(kind)}"
                )
        if (total := sum(self.rates.values())) > 1:
            raise ValueError(f"{SYNTHETIC}: the rates sum to {total:.2f}: lower them to 1 at most")
        if (needed := PLAIN + SEGMENT + sum(map(self.context_words, CONTEXTS))) > self.words:
            raise ValueError(f"{SYNTHETIC}: words={self.words}: these patterns need {needed}, plant fewer or add words")
        for name, least in (("length", 2), ("documents", 10), ("repeat_length", 2)):
            if getattr(self, name) < least:
                raise ValueError(f"{SYNTHETIC}: {name}={getattr(self, name)}: give {least} or more")
        if self.repeat_length > SEGMENT:
            raise ValueError(f"{SYNTHETIC}: repeat_length={self.repeat_length}: there are {SEGMENT} words, give fewer")

    def count(self, kind: str) -> int:
        """How many patterns of a kind are planted."""
        return int(getattr(self, f"{kind}s"))

    @property
    def rates(self) -> dict[str, float]:
        """The rates of all that can begin, plain words apart; a kind without patterns has none."""
        of_patterns = {kind: float(getattr(self, f"{kind}_rate")) for kind in CONTEXTS if self.count(kind)}
        return of_patterns | {"repeat": self.repeat_rate, "bracket": self.bracket_rate}

    def context_words(self, kind: str) -> int:
        """How many words the patterns of a kind take."""
        places = len(CONTEXTS[kind][0])
        return self.count(kind) // _block(kind) * (1 if places == 1 else SIDE)


class Pattern(NamedTuple):
    """A context, in the order of the text, and what follows it with the language's probability."""

    kind: str  # one of CONTEXTS
    offsets: tuple[int, ...]  # how far before the target; descending
    tokens: tuple[int, ...]
    target: int
    probability: float


class Truth(NamedTuple):
    """What is planted in a language. Token ids are those of every tokenizer of the language: BOS, `MARKS`, words."""

    language: Language
    patterns: tuple[Pattern, ...]
    plain: Int64[np.ndarray, " word"]  # the most frequent first
    plain_shares: Float[np.ndarray, " word"]  # Zipf's
    segment: Int64[np.ndarray, " word"]


def parse(name: str) -> Language:
    """The language of a corpus name: "synthetic", or "synthetic:trigrams=16,seed=1".

    Raises ValueError for an argument that does not exist or has a value that it cannot have.
    """
    _, _, rest = name.partition(":")
    known = {field.name: field.type for field in fields(Language)}
    given: dict = {}
    for part in rest.split(",") if rest else ():
        key, _, value = part.partition("=")
        if key not in known:
            raise ValueError(f"corpus {name!r} has no argument {key!r}: choose among {', '.join(known)}")
        try:
            given[key] = float(value) if isinstance(getattr(Language, key), float) else int(value)
        except ValueError:
            raise ValueError(f"corpus {name!r}: {key}={value!r} is no number: give one, as {key}=1") from None
    return Language(**given)


def strings(words: int) -> tuple[str, ...]:
    """The tokens after BOS, in the order of their ids: marks, and words of three letters that are no Python keyword.

    Raises ValueError for more words than there are.
    """
    letters = product("ptkbdgfsmnlrvzjhwcxq", "aeiou", "ptkbdgfsmnlrvz")
    spelled = [word for word in map("".join, letters) if not iskeyword(word)]
    if words > len(spelled):
        raise ValueError(f"{SYNTHETIC}: words={words}: there are {len(spelled)}, give fewer")
    # evenly spread, so that neighbours in the list do not look alike
    return (*MARKS, *(spelled[number * len(spelled) // words] for number in range(words)))


@lru_cache(maxsize=8)
def truth(language: Language) -> Truth:
    """What the language holds. Languages that differ in patterns alone have the same plain and segment words."""
    generator = np.random.default_rng([language.seed, 0])
    words = generator.permutation(language.words) + 1 + len(MARKS)
    plain, segment, rest = np.split(words, [PLAIN, PLAIN + SEGMENT])
    shares = 1 / np.arange(1, PLAIN + 1)
    patterns: list[Pattern] = []
    for kind in CONTEXTS:
        of_kind, rest = np.split(rest, [language.context_words(kind)])
        patterns += _planted(language, kind, of_kind.tolist(), plain, generator)
    return Truth(language, tuple(patterns), plain, shares / shares.sum(), segment)


def as_patterns(planted: Iterable[Pattern]) -> Patterns:
    """Planted patterns in the form that text is mined for: offsets ascending, padded with 0."""
    patterns = list(planted)
    offsets, tokens = np.zeros((2, len(patterns), LONGEST), dtype=np.int64)
    for row, pattern in enumerate(patterns):
        size = len(pattern.offsets)
        offsets[row, :size], tokens[row, :size] = pattern.offsets[::-1], pattern.tokens[::-1]
    return Patterns(offsets, tokens, np.array([pattern.target for pattern in patterns], dtype=np.int64))


def closing(opener: str) -> str:
    """The mark that closes this one."""
    return opener if opener in CLOSERS else CLOSERS["([{".index(opener)]


def _block(kind: str) -> int:
    """How many patterns of a kind a block has."""
    places = len(CONTEXTS[kind][0])
    return 1 if places == 1 else SIDE**places


def _planted(
    language: Language, kind: str, words: list[int], plain: np.ndarray, generator: np.random.Generator
) -> list[Pattern]:
    """The patterns of a kind, on these words; targets of a block are all different."""
    shapes, size = CONTEXTS[kind], _block(kind)
    places = len(shapes[0])
    planted: list[Pattern] = []
    for block in range(language.count(kind) // size):
        of_block = words[block : block + 1] if places == 1 else words[block * SIDE :][:SIDE]
        contexts = list(product(of_block, repeat=places))
        targets = generator.permutation(plain)[:size].tolist()
        offsets = shapes[block % len(shapes)]
        pairs = zip(contexts, targets, strict=True)
        planted += [Pattern(kind, offsets, context, target, language.probability) for context, target in pairs]
    return planted
