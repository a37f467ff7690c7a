"""The texts in a file as people have it: plain text, JSON lines or parquet, packed by gzip or not, in UTF-8 or UTF-16.

A record that cannot be read is left out and counted; the others of its file are kept.
"""

import codecs
import gzip
import json
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pandas

SUFFIXES = (".txt", ".jsonl", ".parquet")
PACKED = ".gz"  # after .txt or .jsonl
MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
LOOKED_AT = 4096  # bytes, for zeros: half of the bytes of Latin letters in UTF-16


class Texts(NamedTuple):
    """The documents of a file, how many of its records could not be read, and why the first of them could not."""

    documents: list[str]
    skipped: int
    reason: str


def suffix_of(file: Path) -> str:
    """What kind of file this is: one of SUFFIXES, ".txt" for any other, in whatever case its name is written."""
    name = file.name.lower().removesuffix(PACKED)
    return next((suffix for suffix in SUFFIXES if name.endswith(suffix)), SUFFIXES[0])


def is_text(file: Path) -> bool:
    """Whether a file's name says that it holds texts."""
    packed = file.name.lower().endswith(PACKED)
    name = file.name.lower().removesuffix(PACKED)
    return name.endswith(SUFFIXES[:2] if packed else SUFFIXES)


def read(file: Path, separator: str = "") -> Texts:
    """The documents of a file: paragraphs separated by two blank lines in .txt, else each record's field "text".

    separator: text between documents, in place of the blank lines, and in records too. Texts that are empty or null are
    left out. Raises OSError or ValueError for a file that cannot be read at all.
    """
    kept: list[str] = []
    skipped, reason = 0, ""
    records, text_of = _records(file, separator)
    for number, record in enumerate(records, start=1):
        try:
            kept += _documents(checked(text_of(record)), separator, suffix_of(file) == ".txt")
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            skipped += 1
            reason = reason or f"record {number}: {type(error).__name__}: {str(error)[:100]}"
    return Texts(kept, skipped, reason)


def checked(text: object) -> str:
    """A text, empty for null; raises TypeError for anything else, and ValueError for one that UTF-8 cannot hold."""
    if text is None:
        return ""
    if not isinstance(text, str):
        raise TypeError(f"{str(text)[:60]} is no text")
    text.encode()  # bytes that were no UTF-8, and halves of surrogate pairs in JSON
    return text


def _documents(text: str, separator: str, plain: bool) -> list[str]:
    """The documents in a record's text; plain: of a .txt file, in which each ends with one line break."""
    parts = text.split(separator) if separator and not plain else [text]
    if plain:
        return [part.strip("\n") + "\n" for part in parts if part.strip()]
    return [part for part in parts if (part.strip() if separator else part)]


def _records(file: Path, separator: str) -> tuple[Iterable[Any], Callable[[Any], object]]:
    """The records of a file as they stand there, and what reads a record's text."""
    kind = suffix_of(file)
    if kind == ".parquet":
        column = pandas.read_parquet(file, columns=["text"])["text"]
        return column.astype(object).where(column.notna(), None), lambda value: value
    content = content_of(file)
    if kind == ".jsonl":
        # JSON strings may hold separators that `splitlines` breaks at, such as U+2028
        return (line for line in content.split("\n") if line.strip()), lambda line: json.loads(line)["text"]
    return content.split(separator or "\n\n\n"), lambda text: text


def content_of(file: Path) -> str:
    """The text of a file, unpacked and decoded, with one kind of line breaks; raises OSError or ValueError for one that
    cannot be read. Lines end at line breaks alone, not where `splitlines` ends them.
    """
    return _decoded(_bytes(file)).replace("\r\n", "\n").replace("\r", "\n")


def _bytes(file: Path) -> bytes:
    """The content of a file, unpacked; raises OSError or ValueError for one that is not whole."""
    if not file.name.lower().endswith(PACKED):
        return file.read_bytes()
    try:
        with gzip.open(file) as unpacked:
            return unpacked.read()
    except (EOFError, zlib.error) as error:
        raise ValueError(f"{file.name} is no whole gzip file: {error}") from None


def _decoded(content: bytes) -> str:
    """Bytes as text: by their byte order mark, as UTF-16 where every other one is zero, else as UTF-8.

    Bytes that are no UTF-8 become what `checked` refuses, so that only the records that hold them are lost. Raises
    ValueError for what is no UTF-16.
    """
    for mark, encoding in MARKS:
        if content.startswith(mark):
            return content[len(mark) :].decode(encoding, "surrogateescape" if encoding == "utf-8" else "strict")
    start = content[:LOOKED_AT]
    for first, encoding in ((0, "utf-16-be"), (1, "utf-16-le")):
        zeros = start[first::2].count(0)
        if len(start) > 1 and zeros > len(start) / 4 and zeros > 4 * start[1 - first :: 2].count(0):
            return content.decode(encoding)
    return content.decode("utf-8", "surrogateescape")
