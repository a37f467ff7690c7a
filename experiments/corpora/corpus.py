"""Corpora: token rows with their documents, split into train and held-out, fingerprinted.

The names are those of `documents`. Rows are built when first needed and cached (`cache.built`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64
from tokenizers import Tokenizer
from torch import Tensor

from ablations.not_measurable import NotMeasurable
from experiments.corpora import documents
from experiments.corpora.cache import built, digest
from experiments.corpora.documents import first_line
from experiments.corpora.tokenizer import starts_with
from experiments.storage.recent import Recent

ROWS = 2  # raised by hand when what is kept of rows changes
KEPT = 8  # loaded corpora that a process keeps in memory


@dataclass(frozen=True)
class Corpus:
    """Rows of tokens. A row is BOS and then n_ctx - 1 tokens of the document stream, with BOS between documents."""

    name: str
    split: str  # "train" or "test"
    tokens: np.ndarray  # uint16 [row, pos]
    documents: np.ndarray  # int32 [row, pos]: which document a token comes from
    positions: np.ndarray  # int32 [row, pos]: where in it; a row's first BOS has those of the token after it
    tokenizer: Tokenizer
    fingerprint: str

    def __len__(self) -> int:
        return len(self.tokens)

    def batch(self, rows: Sequence[int] | np.ndarray | slice) -> Int64[Tensor, "row pos"]:
        """The tokens of these rows, as int64."""
        return torch.from_numpy(np.asarray(self.tokens[rows]).astype(np.int64))

    def take(self, count: int) -> "Corpus":
        """The first `count` rows; raises ValueError when there are fewer."""
        if count < 1:
            raise ValueError(f"{count} rows of corpus {self.name!r}: take at least one")
        if count > len(self):
            raise ValueError(
                f"corpus {self.name!r} ({self.split}) has {len(self)} rows, {count} are needed: use more text"
            )
        return self.part(slice(0, count))

    def part(self, rows: slice) -> "Corpus":
        """Some of the rows."""
        return replace(self, tokens=self.tokens[rows], documents=self.documents[rows], positions=self.positions[rows])


_LOADED: Recent[Corpus] = Recent(KEPT)


def load(name: str, *, tokenizer: Tokenizer, n_ctx: int, split: str, code_share: float = 0.3) -> Corpus:
    """The rows of a corpus, by one of the names that `documents` lists.

    Two loads of the same text are the same arrays, which cannot be written to; a text that has changed is read again.
    Raises ValueError for a corpus that is unknown or empty.
    """
    if name == "python":
        code, prose = (
            load(part, tokenizer=tokenizer, n_ctx=n_ctx, split=split) for part in ("python:code", "python:prose")
        )
        mixed = _mixed_fingerprint(code.fingerprint, prose.fingerprint, code_share)
        rows = _LOADED.get(mixed, lambda: interleave(code, prose, code_share))
    else:
        folder = documents.folder_of(name)
        text = _text_fingerprint(folder, name, tokenizer, n_ctx, split)
        rows = _LOADED.get((text, _in_order(name)), lambda: _rows(name, folder, tokenizer, n_ctx, split))
    return replace(rows, name=name, tokenizer=tokenizer)


def fingerprint(name: str, *, tokenizer: Tokenizer, n_ctx: int, split: str, code_share: float = 0.3) -> str:
    """The fingerprint that `load` would give, without building rows or reading them.

    The documents are built when they are not in the cache. Raises ValueError for a corpus that is unknown or empty.
    """
    if name == "python":
        code, prose = (
            fingerprint(part, tokenizer=tokenizer, n_ctx=n_ctx, split=split) for part in ("python:code", "python:prose")
        )
        return _mixed_fingerprint(code, prose, code_share)
    return _text_fingerprint(documents.folder_of(name), name, tokenizer, n_ctx, split)


def _text_fingerprint(folder: Path, name: str, tokenizer: Tokenizer, n_ctx: int, split: str) -> str:
    """folder: of the documents, which holds a file with the fingerprint of what is in them."""
    content = (folder / "fingerprint").read_text()
    return digest(content, digest(tokenizer.to_str()), documents.kind_of(name), split, str(n_ctx))


def _mixed_fingerprint(first: str, second: str, share: float) -> str:
    return digest(first, second, str(share))


def interleave(first: Corpus, second: Corpus, share: float) -> Corpus:
    """Rows of two corpora in a fixed order that holds `share` of the first at every length."""
    if not 0 < share < 1:
        raise ValueError(f"share={share}: both corpora need rows, it is between 0 and 1")
    count = int(min(len(first) / share, len(second) / (1 - share)))
    from_first = np.diff(np.floor(np.arange(count + 1) * share)) > 0
    row = np.where(from_first, np.cumsum(from_first) - 1, np.cumsum(~from_first) - 1)
    chosen = from_first[:, None]

    def merge(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        merged = np.where(chosen, a[np.where(from_first, row, 0)], b[np.where(from_first, 0, row)])
        merged.flags.writeable = False  # shared by all who load the text
        return merged

    shift = int(first.documents.max()) + 1
    return Corpus(
        name="python",
        split=first.split,
        tokens=merge(first.tokens, second.tokens),
        documents=merge(first.documents, second.documents + shift),
        positions=merge(first.positions, second.positions),
        tokenizer=first.tokenizer,
        fingerprint=_mixed_fingerprint(first.fingerprint, second.fingerprint, share),
    )


def _in_order(name: str) -> bool:
    """Whether rows keep the order of their text: those of a data set from the hub do, others are shuffled."""
    return name.startswith("hf:")


def _rows(name: str, source: Path, tokenizer: Tokenizer, n_ctx: int, split: str) -> Corpus:
    """source: the folder of the documents."""
    if tokenizer.get_vocab_size() > 2**16:
        raise ValueError(
            f"the tokenizer has {tokenizer.get_vocab_size()} tokens: rows are kept as uint16, use at most 65536"
        )

    def build(folder: Path) -> None:
        rows = _pack(
            _token_lists(documents.texts_in(source, documents.kind_of(name), split), tokenizer), n_ctx, bos(tokenizer)
        )
        # shuffled, so that the first rows are a sample of the whole
        count = len(rows["tokens"])
        order = np.arange(count) if _in_order(name) else np.random.default_rng(0).permutation(count)
        for array_name, array in rows.items():
            np.save(folder / f"{array_name}.npy", array[order])

    kind = documents.kind_of(name) or "all"
    folder = built(f"{source.name}/{kind}-{split}-{n_ctx}-{digest(tokenizer.to_str())}-{ROWS}", build)
    tokens, numbers, positions = (
        np.load(folder / f"{array_name}.npy", mmap_mode="r") for array_name in ("tokens", "documents", "positions")
    )
    if len(tokens) == 0:
        raise ValueError(f"corpus {name!r} has no {split} row of {n_ctx} tokens: use more text or a shorter context")
    return Corpus(
        name=name,
        split=split,
        tokens=tokens,
        documents=numbers,
        positions=positions,
        tokenizer=tokenizer,
        fingerprint=_text_fingerprint(source, name, tokenizer, n_ctx, split),
    )


def _pack(token_lists: Iterator[list[int]], n_ctx: int, bos: int) -> dict[str, np.ndarray]:
    """The stream of documents, cut into rows [row, pos]; the last, incomplete row is dropped."""
    stream, documents, positions = [], [], []
    for index, tokens in enumerate(token_lists):
        stream.append(np.array([*tokens, bos], dtype=np.uint16))
        documents.append(np.full(len(tokens) + 1, index, dtype=np.int32))
        positions.append(np.arange(len(tokens) + 1, dtype=np.int32))
    rows = {"tokens": _cut(stream, n_ctx, np.uint16)}
    rows |= {"documents": _cut(documents, n_ctx, np.int32), "positions": _cut(positions, n_ctx, np.int32)}
    rows["tokens"][:, 0] = bos
    return rows


def _cut(stream: list[np.ndarray], n_ctx: int, dtype: type) -> np.ndarray:
    """Rows of a stream, whose first column repeats the second."""
    length = n_ctx - 1
    count = sum(map(len, stream)) // length
    if count == 0:
        return np.zeros((0, n_ctx), dtype)
    body = np.concatenate(stream)[: count * length].reshape(count, length)
    return np.concatenate([body[:, :1], body], axis=1)


def bos(tokenizer: Tokenizer) -> int:
    """The token that starts every row (`tokenizer.starts_with`); raises ValueError when the tokenizer has none."""
    first = starts_with(tokenizer)
    found = tokenizer.token_to_id(first)
    if found is None:
        raise ValueError(f"the tokenizer has no token {first}, which starts every row: name its own (adopt, bos)")
    return found


def _token_lists(documents: Iterator[str], tokenizer: Tokenizer, group: int = 256) -> Iterator[list[int]]:
    while batch := list(islice(documents, group)):
        try:
            encodings = tokenizer.encode_batch_fast(batch, add_special_tokens=False)
        except Exception as error:  # tokenizers raises a bare Exception
            reason = first_line(error)
            raise NotMeasurable(f"the run's tokenizer cannot encode this text ({reason}): use another") from None
        yield from (encoding.ids for encoding in encodings)
