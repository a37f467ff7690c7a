"""Text as people have it: one bad record is left out and counted, and neither its file nor the others are lost."""

import codecs
import gzip
import json
import logging
from collections.abc import Callable
from pathlib import Path

import pandas
import pytest

from experiments.corpora import documents, text_files

GOOD = ["first", "second \u00e9 \U0001f600", "third"]
LINES = [json.dumps({"text": text}, ensure_ascii=False).encode() for text in GOOD]
BAD_LINES = [
    b'{"text": "cut off',
    b"{}",
    b'{"text": 3}',
    b'{"text": ["a"]}',
    b'"text"',
    b"[1]",
    b"null",
    b"nonsense",
    b'{"text": "\xff"}',
    b'{"text": "\\ud800"}',
    b"[" * 100_000,
]


def texts(name: str) -> list[str]:
    """All documents of a corpus, in both splits."""
    return sorted(text for split in ("train", "test") for text in documents.texts(name, split))


@pytest.mark.parametrize("bad", BAD_LINES, ids=lambda line: line[:20].decode("latin-1"))
def test_a_bad_record_among_good_ones(bad: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"\n".join([LINES[0], bad, *LINES[1:], bad]))
    (tmp_path / "b.jsonl").write_bytes(b'{"text": "other"}')
    with caplog.at_level(logging.WARNING):
        assert texts(f"text:{tmp_path}") == sorted([*GOOD, "other"])
    assert "a.jsonl: 2 records left out, the first: record 2: " in caplog.text
    assert "b.jsonl" not in caplog.text  # negative control


def test_bad_bytes_in_plain_text(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"first\n\n\nl\xe4tin\n\n\nthird")
    assert texts(f"text:{tmp_path / 'a.txt'}") == ["first\n", "third\n"]
    found = text_files.read(tmp_path / "a.txt")
    assert (found.skipped, found.reason[:9]) == (1, "record 2:")


def test_bad_records_in_parquet(tmp_path: Path) -> None:
    pandas.DataFrame({"text": ["a", None, "", "b"]}).to_parquet(tmp_path / "x.parquet")
    assert text_files.read(tmp_path / "x.parquet") == (["a", "b"], 0, "")
    pandas.DataFrame({"text": pandas.Series(["a", None], dtype="string")}).to_parquet(tmp_path / "x.parquet")
    assert text_files.read(tmp_path / "x.parquet") == (["a"], 0, "")
    pandas.DataFrame({"text": [1.5, float("nan")]}).to_parquet(tmp_path / "x.parquet")
    assert text_files.read(tmp_path / "x.parquet")[:2] == ([], 1)


PLAIN = "first\n\n\nsecond \u00e9 \U0001f600\n\n\nthird"
WAYS: dict[str, Callable[[str], bytes]] = {
    "UTF-8": lambda text: text.encode(),
    "UTF-8 with a mark": lambda text: codecs.BOM_UTF8 + text.encode(),
    "UTF-16 of Windows": lambda text: codecs.BOM_UTF16_LE + text.encode("utf-16-le"),
    "UTF-16, big end first": lambda text: codecs.BOM_UTF16_BE + text.encode("utf-16-be"),
    "UTF-16 without a mark": lambda text: text.encode("utf-16-le"),
    "UTF-16 without a mark, big end first": lambda text: text.encode("utf-16-be"),
    "lines of Windows": lambda text: text.replace("\n", "\r\n").encode(),
    "lines of old Macs": lambda text: text.replace("\n", "\r").encode(),
}


@pytest.mark.parametrize("packed", [False, True], ids=["", "gz"])
@pytest.mark.parametrize("way", WAYS)
def test_encodings(way: str, packed: bool, tmp_path: Path) -> None:
    for name, content, expected in (
        ("a.txt", PLAIN, [text + "\n" for text in GOOD]),
        ("a.JSONL", b"\n".join(LINES).decode(), GOOD),
    ):
        written = WAYS[way](content)
        path = tmp_path / (name + (".GZ" if packed else ""))
        path.write_bytes(gzip.compress(written) if packed else written)
        assert text_files.read(path) == (expected, 0, "")
        assert texts(f"text:{tmp_path}") == sorted(expected)
        path.unlink()


def test_a_zero_in_text_does_not_make_it_utf_16(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"a\0b and more")
    assert text_files.read(tmp_path / "a.txt").documents == ["a\0b and more\n"]


def test_names_in_any_case_and_empty_files(tmp_path: Path) -> None:
    for name in ("A.JSONL", "b.Txt", "c.TXT", "e.csv", "f.parquet.gz", "README"):
        (tmp_path / name).write_bytes(LINES[0])
    (tmp_path / "c.TXT").write_bytes(b"")
    (tmp_path / "d.jsonl").write_bytes(b"\n\n")
    assert texts(f"text:{tmp_path}") == ["first", '{"text": "first"}\n']


def test_files_that_are_not_whole(tmp_path: Path) -> None:
    whole = gzip.compress(b"\n".join(LINES))
    for name, content in (("cut.jsonl.gz", whole[:-9]), ("no.txt.gz", b"text"), ("a.parquet", b"PAR1")):
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match="no text in 3 files, 3 of them unreadable"):
        texts(f"text:{tmp_path}")
    (tmp_path / "good.jsonl.gz").write_bytes(whole)  # negative control
    assert texts(f"text:{tmp_path}") == sorted(GOOD)


def test_what_separates_documents_when_asked(tmp_path: Path) -> None:
    end = "<|endoftext|>"
    (tmp_path / "a.txt").write_text(f"one\n\n\nstill one\n{end}\ntwo{end}\n{end}\n")
    asked = f"text:{tmp_path / 'a.txt'},separator={end}"
    assert texts(asked) == ["one\n\n\nstill one\n", "two\n"]
    assert texts(f"text:{tmp_path / 'a.txt'}") == ["one\n", f"still one\n{end}\ntwo{end}\n{end}\n"]  # negative control
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": f"one{end}two"}))
    assert texts(f"text:{tmp_path / 'a.jsonl'},separator={end}") == ["one", "two"]
    assert documents.folder_of(asked) != documents.folder_of(f"{asked}>")
