"""The documents of a corpus, by its name, each in the train or in the held-out split.

Names: "python" (code and prose), "python:code", "python:prose", "cpp" (PyTorch's headers), "text:PATH" (a .txt, .jsonl
or .parquet file, or a folder of them), "hf:NAME" (a Hugging Face data set with a column "text"), "synthetic" or
"synthetic:trigrams=16,seed=1" (a language whose patterns are known, with any fields of `synthetic_language.Language`).
"""

import hashlib
import json
import logging
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path

import pandas

from experiments.corpora import cpp_headers, python_sources, synthetic_language, synthetic_text
from experiments.corpora.cache import built, digest
from experiments.corpora.python_sources import Document
from experiments.storage.files import stamp

log = logging.getLogger(__name__)

BUILD = 3  # raised by hand when the documents or the rows change
TEXT_SUFFIXES = (".txt", ".jsonl", ".parquet")


def texts(name: str, split: str) -> Iterator[str]:
    """The texts of a corpus in one split, "train" or "test", document by document."""
    return texts_in(folder_of(name), kind_of(name), split)


def texts_in(folder: Path, kind: str, split: str) -> Iterator[str]:
    """The texts in a folder of documents (`folder_of`); kind: "code" or "prose" of "python", empty for all."""
    with (folder / "documents.jsonl").open(encoding="utf-8") as file:
        for line in file:
            document = Document(*json.loads(line))
            if document.split == split and kind in ("", document.kind):
                yield document.text


def kind_of(name: str) -> str:
    """The kind of documents that a corpus is restricted to: "code" or "prose" of "python"; empty for all."""
    return name.partition(":")[2] if name.startswith("python") else ""


def folder_of(name: str) -> Path:
    """The folder of a corpus's documents in the cache, built when it is not there; another one for a changed text.

    It holds documents.jsonl and `fingerprint`, 16 hexadecimal digits of the content. Raises ValueError for a corpus
    that is unknown, has no text or cannot be had.
    """
    base, _, rest = name.partition(":")
    if base == "python" and rest in ("", "code", "prose"):
        versions = python_sources.versions()
        key = digest(str(BUILD), json.dumps(versions, sort_keys=True))
        return built(f"python-{key}", lambda folder: _write_documents(folder, *python_sources.documents()))
    if name == "cpp":
        key = digest(str(BUILD), python_sources.versions()["torch"])
        return built(f"cpp-{key}", lambda folder: _write_documents(folder, *cpp_headers.documents()))
    if base == "text" and rest:
        files = _text_files(Path(rest))
        key = digest(str(BUILD), *(repr(stamp(file)) for file in files))
        return built(f"text-{key}", lambda folder: _write_documents(folder, *_read_texts(files, rest)))
    if base == "hf" and rest:
        local = sorted(file for file in Path(rest).rglob("*") if file.is_file())  # of a local folder
        key = digest(str(BUILD), rest, *(repr(stamp(file)) for file in local))
        return built(f"hf-{key}", lambda folder: _write_documents(folder, _hub_documents(rest), 0))
    if base == synthetic_language.NAME:
        language = synthetic_language.parse(name)
        key = digest(str(BUILD), str(synthetic_text.VERSION), repr(language))
        return built(f"{base}-{key}", lambda folder: _write_documents(folder, synthetic_text.documents(language), 0))
    raise ValueError(
        f"unknown corpus {name!r}: use python, python:code, python:prose, cpp, text:PATH, hf:NAME or synthetic"
    )


def _write_documents(folder: Path, documents: list[Document], skipped: int) -> None:
    """Writes the documents and their fingerprint; skipped: how many files could not be read."""
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
    """The files of a corpus text:PATH, in order; raises ValueError where there is none."""
    if not path.exists():
        raise ValueError(
            f"corpus text:{path}: no such file or folder; give a .txt, .jsonl or .parquet file, or a folder of them"
        )
    if path.is_file():
        return [path]
    files = sorted(file for file in path.rglob("*") if file.suffix in TEXT_SUFFIXES and file.is_file())
    if not files:
        raise ValueError(f"corpus text:{path}: the folder holds no {', '.join(TEXT_SUFFIXES)} file")
    return files


def _read_texts(files: list[Path], name: str) -> tuple[list[Document], int]:
    """Every text of the files; one in ten, by the hash of its content, is held out. Unreadable files are counted."""
    documents, skipped = [], 0
    for file in files:
        try:
            for text in _file_texts(file):
                documents.append(_split_by_content(text))
        except (OSError, ValueError, KeyError, TypeError):
            log.warning("skipped %s: not readable as %s with a text field", file.name, file.suffix or "text")
            skipped += 1
    if not documents:
        raise ValueError(f"corpus text:{name}: no text in {len(files)} files, {skipped} of them unreadable")
    return documents, skipped


def _hub_documents(name: str) -> list[Document]:
    """The column "text" of a data set's train split, in its order; raises ValueError where it cannot be had."""
    try:
        rows = import_module("datasets").load_dataset(name, split="train")
    except Exception as error:  # datasets raises many kinds
        remedy = (
            f"download it where there is network with `hf download {name} --repo-type dataset --local-dir FOLDER`, "
        )
        remedy = "" if Path(name).exists() else f": {remedy}and give hf:FOLDER"
        raise ValueError(f"corpus hf:{name}: {first_line(error)}{remedy}") from None
    if "text" not in rows.column_names:
        raise ValueError(f"corpus hf:{name} has the columns {', '.join(rows.column_names)}: a column text is needed")
    return [_split_by_content(row["text"]) for row in rows if row["text"]]


def _split_by_content(text: str) -> Document:
    """A text as a document, held out or not by the hash of its content, so that copies are in the same split."""
    key = hashlib.sha256(text.encode()).digest()
    split = "test" if int.from_bytes(key[:4], "big") < python_sources.HELD_OUT_SHARE * 2**32 else "train"
    return Document("text", split, text)


def first_line(error: Exception) -> str:
    """The first line of an error's message; the name of its type where it has none."""
    return (str(error) or type(error).__name__).strip().splitlines()[0]


def _file_texts(file: Path) -> list[str]:
    """The documents of a file: paragraphs separated by two blank lines in .txt, else each record's field "text".

    Records whose text is empty or null are left out.
    """
    if file.suffix == ".parquet":
        return _as_texts(pandas.read_parquet(file, columns=["text"])["text"].dropna())
    content = file.read_text(encoding="utf-8-sig")  # programs of Windows write a byte order mark
    if file.suffix == ".jsonl":
        # JSON strings may hold separators that `splitlines` breaks at, such as U+2028
        return _as_texts(json.loads(line)["text"] for line in content.split("\n") if line.strip())
    return [text.strip("\n") + "\n" for text in content.split("\n\n\n") if text.strip()]


def _as_texts(records: Iterable) -> list[str]:
    """The records that are not empty; raises TypeError for one that is no text."""
    filled = [record for record in records if record]
    if wrong := next((record for record in filled if not isinstance(record, str)), None):
        raise TypeError(f"{wrong!r} is no text")
    return filled
