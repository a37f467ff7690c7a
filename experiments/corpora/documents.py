"""The documents of a corpus, by its name, each in the train or in the held-out split.

Names: "python" (code and prose), "python:code", "python:prose", "cpp" (PyTorch's headers), "text:PATH" (a .txt, .jsonl
or .parquet file, the first two also .gz, or a folder of them), "text:PATH,separator=<|endoftext|>" (the same, with this
text, or any other, between the documents of a file), "hf:NAME" (a Hugging Face data set with a column "text"),
"synthetic" or "synthetic:trigrams=16,seed=1" (a language whose patterns are known, with any fields of
`synthetic_language.Language`).
"""

import hashlib
import json
import logging
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from experiments.corpora import cpp_headers, names, python_sources, synthetic_language, synthetic_text, text_files
from experiments.corpora.cache import built, digest
from experiments.corpora.python_sources import Document
from experiments.storage.files import stamp

log = logging.getLogger(__name__)

BUILD = 3  # raised by hand when the documents or the rows change
TEXT_BUILD = 1  # the same, for what is read of text:PATH alone


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
        path, _, separator = rest.partition(names.SEPARATOR)
        files = _text_files(Path(path))
        key = digest(str(BUILD), str(TEXT_BUILD), separator, *(repr(stamp(file)) for file in files))
        return built(f"text-{key}", lambda folder: _write_documents(folder, *_read_texts(files, path, separator)))
    if base == "hf" and rest:
        local = sorted(file for file in Path(rest).rglob("*") if file.is_file())  # of a local folder
        key = digest(str(BUILD), rest, *(repr(stamp(file)) for file in local))
        return built(f"hf-{key}", lambda folder: _write_documents(folder, _hub_documents(rest), 0))
    if base == names.SYNTHETIC:
        language = synthetic_language.parse(name)
        key = digest(str(BUILD), str(synthetic_text.VERSION), repr(language))
        return built(f"{base}-{key}", lambda folder: _write_documents(folder, synthetic_text.documents(language), 0))
    raise names.unknown(name)


def check_name(name: str) -> None:
    """Raises ValueError for a corpus that is unknown or whose files are not there, before anything is built."""
    names.check_form(name)
    base, _, rest = name.partition(":")
    if base == "text":
        _text_files(Path(rest.partition(names.SEPARATOR)[0]))
    elif base == names.SYNTHETIC:
        synthetic_language.parse(name)


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
    names.check_path(path)
    if path.is_file():
        return [path]
    files = sorted(file for file in path.rglob("*") if text_files.is_text(file) and file.is_file())
    if not files:
        raise ValueError(f"corpus text:{path}: the folder holds no {', '.join(text_files.SUFFIXES)} file")
    return files


def _read_texts(files: list[Path], name: str, separator: str = "") -> tuple[list[Document], int]:
    """Every text of the files; one in ten, by the hash of its content, is held out. Unreadable files are counted.

    A file in which no record can be read is unreadable; of others, the records that cannot are left out and counted.
    """
    documents, unreadable, left_out = [], 0, 0
    for file in files:
        try:
            found = text_files.read(file, separator)
        except (OSError, ValueError, KeyError) as error:
            log.warning("skipped %s: not readable as %s (%s)", file.name, text_files.suffix_of(file), first_line(error))
            unreadable += 1
            continue
        if found.skipped:
            log.warning("%s: %d records left out, the first: %s", file.name, found.skipped, found.reason)
        unreadable += bool(found.skipped and not found.documents)
        left_out += found.skipped
        documents += [_split_by_content(text) for text in found.documents]
    if not documents:
        raise ValueError(
            f"corpus text:{name}: no text in {len(files)} files, {unreadable} of them unreadable, "
            f"{left_out} records left out: give text in UTF-8, or JSON lines or parquet with a field text"
        )
    return documents, unreadable


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
    documents, left_out = [], 0
    for row in rows:
        try:
            text = text_files.checked(row["text"])
        except (TypeError, ValueError):
            left_out += 1
            continue
        documents += [_split_by_content(text)] if text else []
    if left_out:
        log.warning("hf:%s: %d of %d records hold no text and were left out", name, left_out, len(rows))
    if not documents:
        raise ValueError(f"corpus hf:{name}: none of its {len(rows)} records holds text: give another data set")
    return documents


def _split_by_content(text: str) -> Document:
    """A text as a document, held out or not by the hash of its content, so that copies are in the same split."""
    key = hashlib.sha256(text.encode()).digest()
    split = "test" if int.from_bytes(key[:4], "big") < python_sources.HELD_OUT_SHARE * 2**32 else "train"
    return Document("text", split, text)


def first_line(error: Exception) -> str:
    """The first line of an error's message; the name of its type where it has none."""
    return (str(error) or type(error).__name__).strip().splitlines()[0]
