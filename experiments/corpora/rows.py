"""Documents cut into rows of one length, each BOS and then the next tokens of the stream.

The stream is all documents of a split, one after another, each followed by BOS.
"""

from collections.abc import Iterator
from itertools import islice

import numpy as np
from tokenizers import Tokenizer

from ablations.not_measurable import NotMeasurable
from experiments.corpora.documents import first_line
from experiments.corpora.tokenizer import starts_with

GROUP = 256  # documents that are encoded together
LARGEST_VOCABULARY = 2**16  # tokens are kept as uint16


def bos(tokenizer: Tokenizer) -> int:
    """The id of the token that starts every row (`starts_with`); raises ValueError when the tokenizer has none."""
    first = starts_with(tokenizer)
    number = tokenizer.token_to_id(first)
    if number is None:
        raise ValueError(f"the tokenizer has no token {first}, which starts every row: name its own (adopt, bos)")
    return number


def cut(texts: Iterator[str], tokenizer: Tokenizer, n_ctx: int) -> dict[str, np.ndarray]:
    """Arrays [row, pos] of these texts: tokens (uint16), and the document and the place in it of each (int32).

    The last, incomplete row is dropped; there may be none at all. Raises NotMeasurable for a tokenizer that cannot
    encode the texts, or has more tokens than are kept, and ValueError for rows of fewer than two tokens.
    """
    if tokenizer.get_vocab_size() > LARGEST_VOCABULARY:
        raise NotMeasurable(
            f"the tokenizer has {tokenizer.get_vocab_size()} tokens: rows are kept as uint16, "
            f"use at most {LARGEST_VOCABULARY}"
        )
    if n_ctx < 2:
        raise ValueError(f"n_ctx={n_ctx}: a row is BOS and at least one token, give 2 or more")
    first = bos(tokenizer)
    stream, documents, positions = [], [], []
    for index, tokens in enumerate(_encoded(texts, tokenizer)):
        stream.append(np.array([*tokens, first], dtype=np.uint16))
        documents.append(np.full(len(tokens) + 1, index, dtype=np.int32))
        positions.append(np.arange(len(tokens) + 1, dtype=np.int32))
    rows = {"tokens": _folded(stream, n_ctx, np.uint16)}
    rows |= {"documents": _folded(documents, n_ctx, np.int32), "positions": _folded(positions, n_ctx, np.int32)}
    rows["tokens"][:, 0] = first
    return rows


def count(texts: Iterator[str], tokenizer: Tokenizer) -> int:
    """How many tokens rows of these texts would hold, with the one between documents."""
    return sum(len(tokens) + 1 for tokens in _encoded(texts, tokenizer))


def _folded(stream: list[np.ndarray], n_ctx: int, dtype: type) -> np.ndarray:
    """A stream as rows [row, pos], whose first column, which becomes BOS, repeats the second."""
    length = n_ctx - 1
    count = sum(map(len, stream)) // length
    if count == 0:
        return np.zeros((0, n_ctx), dtype)
    body = np.concatenate(stream)[: count * length].reshape(count, length)
    return np.concatenate([body[:, :1], body], axis=1)


def _encoded(texts: Iterator[str], tokenizer: Tokenizer) -> Iterator[list[int]]:
    """The tokens of each text; raises NotMeasurable for one that the tokenizer cannot encode."""
    while batch := list(islice(texts, GROUP)):
        try:
            encodings = tokenizer.encode_batch_fast(batch, add_special_tokens=False)
        except Exception as error:  # tokenizers raises a bare Exception
            reason = first_line(error)
            raise NotMeasurable(f"the run's tokenizer cannot encode this text ({reason}): use another") from None
        yield from (encoding.ids for encoding in encodings)
