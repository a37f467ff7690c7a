"""What a token looks like: the start or a part of a word, a number, space, a delimiter, or other signs.

The classes are named as those of arXiv:2508.00331, which colours its maps of tokens by them; the rules are ours, and
each token of a vocabulary has one class:

    word start  letters after a space, or after nothing that is a letter or a digit in the text:  [ the]  ([the]
    word part   letters that continue a word:                                                      [ing]
    numeric     digits
    spacing     nothing but white space, or nothing at all
    delimiter   brackets, quotes, and the signs that part words and statements: . , : ;
    formatting  every other sign: = _ # * / < ...

A token of several kinds has the class of its first character that is not white space.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int, Integer

CLASSES = ("word start", "word part", "numeric", "spacing", "delimiter", "formatting")
DELIMITERS = frozenset("()[]{}\"'`.,:;")


def of_tokens(tokens: Integer[np.ndarray, "row pos"], vocabulary: Sequence[str]) -> Int[np.ndarray, "row pos"]:
    """The number in CLASSES of each token; vocabulary: the text of every token by its number.

    A token of letters without a space before them begins a word where the token before it in its row ends in neither
    a letter nor a digit, and continues one elsewhere.
    """
    alone = np.array([CLASSES.index(of_text(text)) for text in vocabulary])
    open_end = np.array([text[-1:].isalnum() for text in vocabulary])
    glued = np.array([text[:1].isalpha() for text in vocabulary])
    found = alone[tokens]
    continues = np.zeros(tokens.shape, dtype=bool)
    continues[:, 1:] = glued[tokens[:, 1:]] & open_end[tokens[:, :-1]]
    return np.where(continues, CLASSES.index("word part"), found)


def of_text(text: str) -> str:
    """The class of a token that follows no word."""
    first = text.lstrip()[:1]
    if not first:
        return "spacing"
    if first.isalpha():
        return "word start"
    if first.isdigit():
        return "numeric"
    return "delimiter" if first in DELIMITERS else "formatting"
