"""Corpora: token rows with their documents, split into train and held-out, fingerprinted.

Names: "python" (code and prose in the preset's shares), "python:code", "python:prose", "text:PATH" (a .txt, .jsonl or
.parquet file, or a folder of them), "hf:NAME" (a Hugging Face data set with a column "text"). Texts are read or built
when first needed and cached; each cache entry is written whole and then renamed, so that an interrupted build leaves
nothing behind.
"""

import contextlib
import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas
import platformdirs
import torch
from jaxtyping import Int64
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor

from experiments import python_sources
from experiments.python_sources import Document

log = logging.getLogger(__name__)

BUILD = 3  # raised by hand when the documents or the rows change
BOS = "<|endoftext|>"
OWN_TOKENS = "()[]{}\"'`"  # each is always a token of its own, so that nesting is seen token by token
TRAINING_TEXT = 8_000_000  # characters of each kind that a tokenizer is trained on
TEXT_SUFFIXES = (".txt", ".jsonl", ".parquet")


@dataclass(frozen=True)
class Corpus:
    """Rows of tokens. A row is BOS and then n_ctx - 1 tokens of the document stream, with BOS between documents."""

    name: str
    split: str  # "train" or "test"
    tokens: np.ndarray  # uint16 [row, pos]
    documents: np.ndarray  # int32 [row, pos]: which document a token comes from
    tokenizer: Tokenizer
    fingerprint: str

    def __len__(self) -> int:
        return len(self.tokens)

    def batch(self, rows: Sequence[int] | np.ndarray | slice) -> Int64[Tensor, "row pos"]:
        """The tokens of these rows, as int64."""
        return torch.from_numpy(np.asarray(self.tokens[rows]).astype(np.int64))

    def take(self, count: int) -> "Corpus":
        """The first `count` rows; raises ValueError when there are fewer."""
        if count > len(self):
            raise ValueError(
                f"corpus {self.name!r} ({self.split}) has {len(self)} rows, {count} are needed: use more text"
            )
        return replace(self, tokens=self.tokens[:count], documents=self.documents[:count])


def load(name: str, *, tokenizer: Tokenizer, n_ctx: int, split: str, code_share: float = 0.3) -> Corpus:
    """Loads a corpus by one of the module docstring's names; raises ValueError for one that is unknown or empty."""
    if name == "python":
        parts = {
            kind: load(f"python:{kind}", tokenizer=tokenizer, n_ctx=n_ctx, split=split) for kind in ("code", "prose")
        }
        return interleave(parts["code"], parts["prose"], code_share)
    return _rows(name, _documents_folder(name), _kind(name), tokenizer, n_ctx, split)


def texts(name: str, split: str) -> Iterator[str]:
    """The texts of a corpus, document by document."""
    folder, kind = _documents_folder(name), _kind(name)
    with (folder / "documents.jsonl").open(encoding="utf-8") as file:
        for line in file:
            document = Document(*json.loads(line))
            if document.split == split and kind in ("", document.kind):
                yield document.text


def new_tokenizer(source: str, name: str, vocabulary: int) -> Tokenizer:
    """The tokenizer that a preset asks for: trained on the corpus, or "hf:NAME" from the hub."""
    if source == "train":
        return train_tokenizer(name, vocabulary)
    try:
        return Tokenizer.from_pretrained(source.removeprefix("hf:"))
    except Exception as error:  # tokenizers raises a bare Exception
        raise ValueError(
            f"tokenizer {source}: {_first_line(error)}: it needs the network, or a local Hugging Face cache"
        ) from None


def train_tokenizer(name: str, vocabulary: int) -> Tokenizer:
    """A byte-level BPE with this many tokens, trained on the train split; brackets and quotes never merge."""
    tokenizer = Tokenizer(models.BPE())
    own = pre_tokenizers.Split(Regex("[" + "".join("\\" + c for c in OWN_TOKENS) + "]"), "isolated")
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([own, byte_level])  # type: ignore[assignment]
    tokenizer.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[BOS],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    kinds = [f"{name}:code", f"{name}:prose"] if name == "python" else [name]
    tokenizer.train_from_iterator((t for kind in kinds for t in _head(texts(kind, "train"), TRAINING_TEXT)), trainer)
    if tokenizer.get_vocab_size() != vocabulary:
        raise ValueError(
            f"corpus {name!r} gives {tokenizer.get_vocab_size()} tokens, "
            f"the preset asks for {vocabulary}: use more text"
        )
    return tokenizer


def interleave(first: Corpus, second: Corpus, share: float) -> Corpus:
    """Rows of two corpora in a fixed order that holds `share` of the first at every length."""
    count = int(min(len(first) / share, len(second) / (1 - share)))
    from_first = np.diff(np.floor(np.arange(count + 1) * share)) > 0
    row = np.where(from_first, np.cumsum(from_first) - 1, np.cumsum(~from_first) - 1)
    chosen = from_first[:, None]

    def merge(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.where(chosen, a[np.where(from_first, row, 0)], b[np.where(from_first, 0, row)])

    shift = int(first.documents.max()) + 1
    return Corpus(
        name="python",
        split=first.split,
        tokens=merge(first.tokens, second.tokens),
        documents=merge(first.documents, second.documents + shift),
        tokenizer=first.tokenizer,
        fingerprint=_digest(first.fingerprint, second.fingerprint, str(share)),
    )


def _kind(name: str) -> str:
    return name.partition(":")[2] if name.startswith("python") else ""


def _documents_folder(name: str) -> Path:
    """The cached documents of a corpus, built when they are not there."""
    base, _, rest = name.partition(":")
    if base == "python" and rest in ("", "code", "prose"):
        versions = python_sources.versions()
        key = _digest(str(BUILD), json.dumps(versions, sort_keys=True))
        return _built(f"python-{key}", lambda folder: _write_documents(folder, *python_sources.documents()))
    if base == "text" and rest:
        files = _text_files(Path(rest))
        key = _digest(str(BUILD), *(f"{f.stat().st_size} {f.stat().st_mtime_ns} {f.absolute()}" for f in files))
        return _built(f"text-{key}", lambda folder: _write_documents(folder, *_read_texts(files, rest)))
    if base == "hf" and rest:
        return _built(
            f"hf-{_digest(str(BUILD), rest)}", lambda folder: _write_documents(folder, _hub_documents(rest), 0)
        )
    raise ValueError(f"unknown corpus {name!r}: use python, python:code, python:prose, text:PATH or hf:NAME")


def _rows(name: str, source: Path, kind: str, tokenizer: Tokenizer, n_ctx: int, split: str) -> Corpus:
    tokenizer_key = _digest(tokenizer.to_str())
    content = (source / "fingerprint").read_text()

    def build(folder: Path) -> None:
        tokens, documents = _pack(_token_lists(texts(name, split), tokenizer), n_ctx, _bos(tokenizer))
        # shuffled, so that the first rows are a sample of the whole; a data set from the hub keeps its own order
        order = np.arange(len(tokens)) if name.startswith("hf:") else np.random.default_rng(0).permutation(len(tokens))
        np.save(folder / "tokens.npy", tokens[order])
        np.save(folder / "documents.npy", documents[order])

    folder = _built(f"{source.name}/{kind or 'all'}-{split}-{n_ctx}-{tokenizer_key}", build)
    tokens = np.load(folder / "tokens.npy", mmap_mode="r")
    if len(tokens) == 0:
        raise ValueError(f"corpus {name!r} has no {split} row of {n_ctx} tokens: use more text or a shorter context")
    return Corpus(
        name=name,
        split=split,
        tokens=tokens,
        documents=np.load(folder / "documents.npy", mmap_mode="r"),
        tokenizer=tokenizer,
        fingerprint=_digest(content, tokenizer_key, kind, split, str(n_ctx)),
    )


def _pack(token_lists: Iterator[list[int]], n_ctx: int, bos: int) -> tuple[np.ndarray, np.ndarray]:
    """The stream of documents, cut into rows; the last, incomplete row is dropped."""
    stream, documents = [], []
    for index, tokens in enumerate(token_lists):
        stream.append(np.array([*tokens, bos], dtype=np.uint16))
        documents.append(np.full(len(tokens) + 1, index, dtype=np.int32))
    length = n_ctx - 1
    count = sum(map(len, stream)) // length
    if count == 0:
        return np.zeros((0, n_ctx), np.uint16), np.zeros((0, n_ctx), np.int32)
    body = np.concatenate(stream)[: count * length].reshape(count, length)
    body_documents = np.concatenate(documents)[: count * length].reshape(count, length)
    rows = np.concatenate([np.full((count, 1), bos, np.uint16), body], axis=1)
    return rows, np.concatenate([body_documents[:, :1], body_documents], axis=1)


def _bos(tokenizer: Tokenizer) -> int:
    found = tokenizer.token_to_id(BOS)
    if found is None:
        raise ValueError(f"the tokenizer has no token {BOS}, which starts every row: use another")
    return found


def _token_lists(documents: Iterator[str], tokenizer: Tokenizer, group: int = 256) -> Iterator[list[int]]:
    batch: list[str] = []
    for text in documents:
        batch.append(text)
        if len(batch) == group:
            yield from (encoding.ids for encoding in tokenizer.encode_batch_fast(batch, add_special_tokens=False))
            batch = []
    yield from (encoding.ids for encoding in tokenizer.encode_batch_fast(batch, add_special_tokens=False))


def _write_documents(folder: Path, documents: list[Document], skipped: int) -> None:
    if skipped:
        log.warning("%d files could not be read and were skipped", skipped)
    digest = hashlib.sha256()
    with (folder / "documents.jsonl").open("w", encoding="utf-8") as file:
        for document in documents:
            line = json.dumps(document) + "\n"
            digest.update(line.encode())
            file.write(line)
    (folder / "fingerprint").write_text(digest.hexdigest()[:16])


def _text_files(path: Path) -> list[Path]:
    if not path.exists():
        raise ValueError(
            f"corpus text:{path}: no such file or folder; give a .txt, .jsonl or .parquet file, or a folder of them"
        )
    found = (
        [path] if path.is_file() else sorted(f for f in path.rglob("*") if f.suffix in TEXT_SUFFIXES and f.is_file())
    )
    if not found:
        raise ValueError(f"corpus text:{path}: the folder holds no {', '.join(TEXT_SUFFIXES)} file")
    return found


def _read_texts(files: list[Path], name: str) -> tuple[list[Document], int]:
    """Every text of the files; one in ten, by the hash of its content, is held out. Unreadable files are counted."""
    documents, skipped = [], 0
    for file in files:
        try:
            for text in _file_texts(file):
                documents.append(_split_by_content(text))
        except (OSError, ValueError, KeyError):
            log.warning("skipped %s: not readable as %s with a text field", file.name, file.suffix or "text")
            skipped += 1
    if not documents:
        raise ValueError(f"corpus text:{name}: no text in {len(files)} files, {skipped} of them unreadable")
    return documents, skipped


def _hub_documents(name: str) -> list[Document]:
    """The column "text" of a data set's train split, in its order."""
    try:
        rows = import_module("datasets").load_dataset(name, split="train")
    except Exception as error:  # datasets raises many kinds
        raise ValueError(
            f"corpus hf:{name}: {_first_line(error)}: it needs the network, or a local Hugging Face cache"
        ) from None
    if "text" not in rows.column_names:
        raise ValueError(f"corpus hf:{name} has the columns {', '.join(rows.column_names)}: a column text is needed")
    return [_split_by_content(row["text"]) for row in rows if row["text"]]


def _split_by_content(text: str) -> Document:
    key = hashlib.sha256(text.encode()).digest()
    split = "test" if int.from_bytes(key[:4], "big") < python_sources.HELD_OUT_SHARE * 2**32 else "train"
    return Document("text", split, text)


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).strip().splitlines()[0]


def _file_texts(file: Path) -> list[str]:
    """The documents of a file: paragraphs separated by two blank lines in .txt, else each record's field "text"."""
    if file.suffix == ".parquet":
        return [text for text in pandas.read_parquet(file, columns=["text"])["text"] if text]
    content = file.read_text(encoding="utf-8")
    if file.suffix == ".jsonl":
        return [text for line in content.splitlines() if line.strip() and (text := json.loads(line)["text"])]
    return [text.strip("\n") + "\n" for text in content.split("\n\n\n") if text.strip()]


def _built(name: str, build: Callable[[Path], None]) -> Path:
    """The cache folder of this name, built in a temporary one and renamed; a second builder's copy is discarded."""
    root = Path(os.environ.get("DEVCIRCUITS_CACHE") or platformdirs.user_cache_dir("devcircuits"))
    final = root / name
    if final.is_dir():
        return final
    final.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=final.parent, prefix=".building-"))
    try:
        build(temporary)
        with contextlib.suppress(OSError):  # another process was first
            temporary.rename(final)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return final


def _head(documents: Iterator[str], characters: int) -> Iterator[str]:
    for text in documents:
        if characters <= 0:
            return
        characters -= len(text)
        yield text


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
