"""Brackets and quotes of Python source: which closer fits, what it closes, and what is open around it.

Structure is the language's own lexer's (`tokenize`): brackets in strings and comments do not count, an apostrophe is no
quote. Strings are opaque, f-strings included (Python 3.12 and later would lex what is inside). Where the source stops
being Python, structure ends: what was found before stays, and nothing is claimed after.
"""

import io
import keyword
import tokenize
from collections.abc import Iterator
from itertools import accumulate
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int, Int8, Int32

KINDS = (")", "]", "}", '"', "'")  # arrays hold a kind as its index here, or -1
BRACKETS = KINDS[:3]
OPENERS = dict(zip("([{", BRACKETS, strict=True))

# f-strings (and template strings) are several tokens from Python 3.12 (3.14) on
_F_STARTS, _F_ENDS = (
    frozenset(number for number, name in tokenize.tok_name.items() if name.endswith(f"STRING_{end}"))
    for end in ("START", "END")
)
_STRINGS = _F_ENDS | {tokenize.STRING}
_BRACKETS = frozenset((*OPENERS, *BRACKETS))


class Closer(NamedTuple):
    """A closer and what it closes; places are indices of characters.

    In "f([x])" the closer of the list is Closer(4, "]", 2, ")", 1, 2).
    """

    at: int
    kind: str  # one of KINDS
    opener: int  # of a string, the first character of its opening delimiter, after a prefix
    enclosing: str  # the closer that the bracket around the opener takes; "" when there is none
    outer: int  # where that bracket opens; -1 when there is none
    depth: int  # brackets and strings open at the closer, its own among them

    @property
    def nested(self) -> bool:
        """Is a bracket of another type open around it?"""
        return self.enclosing not in ("", self.kind)


class Structure(NamedTuple):
    """The closers of a source, in order, among its first `known` characters."""

    closers: tuple[Closer, ...]
    known: int


class TokenStructure(NamedTuple):
    """The closers of a source by token of a model; tokens that close nothing have -1."""

    kind: Int8[np.ndarray, " token"]  # what the token's first character that is no space closes
    opener: Int32[np.ndarray, " token"]  # the token that holds the opener
    enclosing: Int8[np.ndarray, " token"]  # kind that the bracket around it takes
    outer: Int32[np.ndarray, " token"]  # the token that holds that bracket
    nested: Bool[np.ndarray, " token"]
    known: Bool[np.ndarray, " token"]  # does structure reach to the token's end?


def closers(source: str) -> Structure:
    """Every bracket and string delimiter that closes something.

    A triple-quoted string is closed by the first character of its closing delimiter. A bracket that does not fit the
    innermost opener closes nothing: like an error of the lexer, an unfinished string, or a quote right after a word
    that is no keyword (don't), it ends the structure.
    """
    in_order: list[Closer] = []
    opened: list[tuple[int, str]] = []  # where each open bracket stands, and its closer
    known = 0

    def closed(at: int, kind: str, opener: int) -> Closer:
        outer, enclosing = opened[-1] if opened else (-1, "")
        return Closer(at, kind, opener, enclosing, outer, len(opened) + 1)

    for mark, start, end in _marks(source):
        known = start
        if mark in OPENERS:
            opened.append((start, OPENERS[mark]))
        elif mark in BRACKETS:
            if not opened or opened[-1][1] != mark:
                break
            opener, _ = opened.pop()
            in_order.append(closed(start, mark, opener))
        elif mark:
            prefix, delimiter = _quotes(mark)
            in_order.append(closed(end - delimiter, mark[-1], start + prefix))
    return Structure(tuple(in_order), known)


def on_tokens(structure: Structure, source: str, offsets: Int[np.ndarray, "token 2"]) -> TokenStructure:
    """The structure of a source by token; offsets: first character of each token, and the first after it.

    A closer belongs to the token whose first character that is no space it is, so that "))" closes one bracket, the
    first; a closer later in a token belongs to none. Raises ValueError for offsets that are not in order.
    """
    first, end = offsets[:, 0], offsets[:, 1]
    if (np.diff(first) < 0).any():
        raise ValueError("the tokens' first characters are not in order: give the offsets of one text, as encoded")
    count = len(structure.closers)
    closer_at, opener, outer = (
        np.fromiter((getattr(closer, name) for closer in structure.closers), np.int64, count)
        for name in ("at", "opener", "outer")
    )
    closing = _holding(closer_at, first, end)
    begun = np.array([not source[a:b].strip() for a, b in zip(first[closing], closer_at, strict=True)], dtype=bool)
    chosen = np.flatnonzero((closing >= 0) & begun)
    at, kept = closing[chosen], [structure.closers[number] for number in chosen]
    by_token = TokenStructure(
        kind=np.full(len(first), -1, np.int8),
        opener=np.full(len(first), -1, np.int32),
        enclosing=np.full(len(first), -1, np.int8),
        outer=np.full(len(first), -1, np.int32),
        nested=np.zeros(len(first), bool),
        known=end <= structure.known,
    )
    by_token.kind[at] = [KINDS.index(closer.kind) for closer in kept]
    by_token.opener[at] = _holding(opener[chosen], first, end)
    by_token.enclosing[at] = [KINDS.index(closer.enclosing) if closer.enclosing else -1 for closer in kept]
    by_token.outer[at] = _holding(outer[chosen], first, end)
    by_token.nested[at] = [closer.nested for closer in kept]
    return by_token


def _marks(source: str) -> Iterator[tuple[str, int, int]]:
    """Every bracket and string literal (an f-string is one), its first character and the first after it.

    Last comes an empty mark, where the lexer stopped.
    """
    lines = [0, *accumulate(map(len, io.StringIO(source)))]
    before = tokenize.TokenInfo(tokenize.NEWLINE, "", (1, 0), (1, 0), "")
    inside, begin = 0, 0  # f-strings around the token, and where the outermost one begins
    try:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type == tokenize.ERRORTOKEN or _is_apostrophe(token, before):
                break
            if token.type in _F_STARTS:
                begin = begin if inside else _place(lines, token.start)
                inside += 1
            elif token.type in _F_ENDS:
                inside -= 1
            if not inside and (token.type in _STRINGS or token.string in _BRACKETS):
                start, end = _place(lines, token.start), _place(lines, token.end)
                start = begin if token.type in _F_ENDS else start
                yield source[start:end], start, end
            before = token
    except (tokenize.TokenError, SyntaxError):  # an IndentationError is a SyntaxError
        pass
    stopped = begin if inside else min(_place(lines, before.end), len(source))
    yield "", len(source) if before.type == tokenize.ENDMARKER else stopped, len(source)


def _place(lines: list[int], at: tuple[int, int]) -> int:
    """The index of the character at a row, from 1, and a column."""
    return lines[at[0] - 1] + at[1]


def _is_apostrophe(token: tokenize.TokenInfo, before: tokenize.TokenInfo) -> bool:
    """Does a string stand right after a word that none may follow without a space?"""
    if token.type not in (tokenize.STRING, *_F_STARTS) or before.type not in (tokenize.NAME, tokenize.NUMBER):
        return False
    return (
        token.start == before.end and not keyword.iskeyword(before.string) and not keyword.issoftkeyword(before.string)
    )


def _quotes(string: str) -> tuple[int, int]:
    """How many characters a string literal's prefix has, and how many its closing delimiter."""
    prefix = min(at for quote in "\"'" if (at := string.find(quote)) >= 0)
    mark = string[prefix] * 3
    triple = len(string) >= prefix + 6 and string.startswith(mark, prefix)
    return prefix, 3 if triple else 1


def _holding(
    index: Int[np.ndarray, " n"], first: Int[np.ndarray, " token"], end: Int[np.ndarray, " token"]
) -> np.ndarray:
    """The token that each character is in; -1 for those in none."""
    token = np.searchsorted(first, index, side="right") - 1
    inside = (token >= 0) & (index < end[token])
    return np.where(inside, token, -1)
