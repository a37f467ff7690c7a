"""A corpus: rows of tokens that remember their documents, in a train and a held-out split, known by a fingerprint.

The names of corpora are those of `documents`. Rows are built when they are first needed and cached (`cache.built`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64
from tokenizers import Tokenizer
from torch import Tensor

from ablations.not_measurable import NotMeasurable
from experiments.corpora import documents, rows
from experiments.corpora.cache import built, digest
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
        """The tokens of these rows, as int64 [row, pos]."""
        return torch.from_numpy(np.asarray(self.tokens[rows]).astype(np.int64))

    def take(self, count: int) -> "Corpus":
        """The first `count` rows; raises ValueError for a count below 1, and NotMeasurable when there are fewer."""
        if count < 1:
            raise ValueError(f"{count} rows of corpus {self.name!r}: take at least one")
        if count > len(self):
            raise NotMeasurable(
                f"corpus {self.name!r} ({self.split}) has {len(self)} rows, {count} are needed: use more text"
            )
        return self.part(slice(0, count))

    def part(self, rows: slice) -> "Corpus":
        """A corpus of some of the rows, with the fingerprint of the whole."""
        return replace(self, tokens=self.tokens[rows], documents=self.documents[rows], positions=self.positions[rows])


_LOADED: Recent[Corpus] = Recent(KEPT)


def load(name: str, *, tokenizer: Tokenizer, n_ctx: int, split: str, code_share: float = 0.3) -> Corpus:
    """The rows of a corpus, by one of the names that `documents` lists.

    Two loads of the same text are the same arrays, which cannot be written to; a text that has changed is read again.
    split: "train" or "test", which is held out. code_share: of the rows, for "python". Raises ValueError for a corpus
    that is unknown or has no text, and NotMeasurable for one that gives no row or that the tokenizer cannot encode.
    """
    if split not in ("train", "test"):
        raise ValueError(f"split={split!r}: a corpus has a train and a test split")
    if name == "python":
        code, prose = (
            load(part, tokenizer=tokenizer, n_ctx=n_ctx, split=split) for part in ("python:code", "python:prose")
        )
        mixed = _mixed_fingerprint(code.fingerprint, prose.fingerprint, code_share)
        corpus = _LOADED.get(mixed, lambda: interleave(code, prose, code_share))
    else:
        folder = documents.folder_of(name)
        text = _text_fingerprint(folder, name, tokenizer, n_ctx, split)
        corpus = _LOADED.get((text, _in_order(name)), lambda: _rows(name, folder, tokenizer, n_ctx, split))
    return replace(corpus, name=name, tokenizer=tokenizer)


def fingerprint(name: str, *, tokenizer: Tokenizer, n_ctx: int, split: str, code_share: float = 0.3) -> str:
    """The fingerprint that `load` would give, without building rows or reading them.

    The documents are built when they are not in the cache. Raises ValueError for a corpus that is unknown or has no
    text.
    """
    if name == "python":
        code, prose = (
            fingerprint(part, tokenizer=tokenizer, n_ctx=n_ctx, split=split) for part in ("python:code", "python:prose")
        )
        return _mixed_fingerprint(code, prose, code_share)
    return _text_fingerprint(documents.folder_of(name), name, tokenizer, n_ctx, split)


def _text_fingerprint(folder: Path, name: str, tokenizer: Tokenizer, n_ctx: int, split: str) -> str:
    """The fingerprint of rows; folder: of the documents, with a file that holds the fingerprint of its content."""
    content = (folder / "fingerprint").read_text()
    return digest(content, digest(tokenizer.to_str()), documents.kind_of(name), split, str(n_ctx))


def _mixed_fingerprint(first: str, second: str, share: float) -> str:
    """The fingerprint of two corpora that are interleaved."""
    return digest(first, second, str(share))


def interleave(first: Corpus, second: Corpus, share: float) -> Corpus:
    """Rows of two corpora in a fixed order, in which the first has its share of the rows at every length.

    Documents of the second are numbered after those of the first. Raises ValueError for a share that is not between
    0 and 1.
    """
    if not 0 < share < 1:
        raise ValueError(f"share={share}: both corpora need rows, it is between 0 and 1")
    count = int(min(len(first) / share, len(second) / (1 - share)))
    from_first = np.diff(np.floor(np.arange(count + 1) * share)) > 0
    own, shift = int(from_first.sum()), int(first.documents.max()) + 1

    def merge(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        merged = np.empty((count, *a.shape[1:]), np.result_type(a, b))
        merged[from_first] = a[:own]
        merged[~from_first] = b[: count - own]
        merged.flags.writeable = False  # shared by all who load the text
        return merged

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
    """The rows of one text from the cache, built there when they are not; source: the folder of its documents."""
    kind = documents.kind_of(name)

    def build(folder: Path) -> None:
        arrays = rows.cut(documents.texts_in(source, kind, split), tokenizer, n_ctx)
        # shuffled, so that the first rows are a sample of the whole
        count = len(arrays["tokens"])
        order = np.arange(count) if _in_order(name) else np.random.default_rng(0).permutation(count)
        for array_name, array in arrays.items():
            np.save(folder / f"{array_name}.npy", array[order])

    folder = built(f"{source.name}/{kind or 'all'}-{split}-{n_ctx}-{digest(tokenizer.to_str())}-{ROWS}", build)
    arrays = {part: np.load(folder / f"{part}.npy", mmap_mode="r") for part in ("tokens", "documents", "positions")}
    if len(arrays["tokens"]) == 0:
        there = rows.count(documents.texts_in(source, kind, split), tokenizer)
        what = "held-out text (one document in ten)" if split == "test" else "training text (nine documents in ten)"
        raise NotMeasurable(
            f"corpus {name!r} has {there} tokens of {what}, and a row takes {n_ctx - 1}: "
            "use more text, in more documents, or a shorter context"
        )
    text = _text_fingerprint(source, name, tokenizer, n_ctx, split)
    return Corpus(name=name, split=split, tokenizer=tokenizer, fingerprint=text, **arrays)
