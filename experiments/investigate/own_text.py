"""A text of the user's own as the row that a model reads: BOS, and as many of its tokens as the context holds."""

import re
from typing import NamedTuple

import torch
from jaxtyping import Int64
from tokenizers import Tokenizer
from torch import Tensor

from experiments import corpora

WHITE = "· is a space, ·×4 four of them, ↵ a line break, ⇥ a tab"


class OwnText(NamedTuple):
    """A text as tokens, the first of which is BOS."""

    row: Int64[Tensor, " pos"]
    words: list[str]  # each token as text
    given: int  # tokens of the whole text, BOS apart

    @property
    def source(self) -> str:
        """What is looked at, in words."""
        shown = len(self.row) - 1
        return "a text of your own" + (f", the first {shown} of {self.given} tokens" if shown < self.given else "")


def encoded(tokenizer: Tokenizer, text: str, n_ctx: int) -> OwnText:
    """The beginning of the text, at most n_ctx tokens with BOS.

    Raises ValueError for a text without a token, and for one that the tokenizer cannot encode.
    """
    try:
        ids = tokenizer.encode(text, add_special_tokens=False).ids
    except Exception as error:  # tokenizers raises a bare Exception
        raise ValueError(f"the run's tokenizer cannot encode this text ({error}): use another") from None
    if not ids:
        raise ValueError("the text has no token: give some to look at")
    row = torch.tensor([corpora.bos(tokenizer), *ids][:n_ctx])
    return OwnText(row, words(tokenizer, row), len(ids))


def words(tokenizer: Tokenizer, row: Int64[Tensor, " pos"]) -> list[str]:
    """Every token by itself as text."""
    return [tokenizer.decode([token], skip_special_tokens=False) for token in row.tolist()]


def visible(token: str) -> str:
    """A token as text in which all white space is visible but a single space between two letters; `WHITE` says how."""
    dotted = re.sub(r" {2,}|(?<!\S) | (?!\S)", lambda spaces: _dots(len(spaces[0])), token)
    return dotted.replace("\n", "↵").replace("\t", "⇥").replace("\r", "␍")


def _dots(spaces: int) -> str:
    return "·" * spaces if spaces < 3 else f"·×{spaces}"
