"""Files that are written whole or not at all, and told apart by what is in them."""

import hashlib
import json
import os
import re
import time
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from circuits.json_values import without_nan

TICK = 0.05  # seconds; the clock of a file system ticks every few milliseconds


class Stamp(NamedTuple):
    """What changes with a file's content: everything that the file system tells without reading it."""

    path: str  # absolute
    size: int  # bytes
    modified: int  # nanoseconds
    changed: int  # nanoseconds; of the file's entry, which no program can set back
    inode: int


def stamp(path: Path) -> Stamp:
    """The stamp of a file as it is now; raises OSError for one that is not there."""
    status = path.stat()
    now = Stamp(str(path.absolute()), status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
    _wait_for_next_tick(now)
    return now


def digest(path: Path) -> str:
    """The first 16 hexadecimal digits of the sha256 of a file's bytes; raises OSError for one that is not there.

    A file is read again whenever its stamp has changed, and only then.
    """
    return _digest_of(stamp(path))


@lru_cache(maxsize=4096)
def _digest_of(file: Stamp) -> str:
    """The digest of a file that has this stamp."""
    with Path(file.path).open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()[:16]


@lru_cache(maxsize=4096)
def _wait_for_next_tick(file: Stamp) -> None:
    """Waits where a file has changed just now: a further change within the same tick would leave its stamp as it is."""
    age = time.time() - file.changed / 1e9
    if age < TICK:
        time.sleep(min(TICK - age, TICK))


def write_bytes(path: Path, content: bytes) -> None:
    """Writes any file so that a reader sees the old content or the new, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, value: object) -> None:
    """Writes JSON with sorted keys, so that the same values are the same bytes.

    NaN and infinities, which JSON does not have, become null: a number that was not measured.
    """
    write_bytes(path, (as_json(value, indent=1, sort_keys=True) + "\n").encode())


def as_json(value: object, *, indent: int | None = None, sort_keys: bool = False) -> str:
    """The JSON text of a value, null for NaN and infinities: what every file of JSON is written with."""
    return json.dumps(without_nan(value), indent=indent, sort_keys=sort_keys, allow_nan=False)


def is_missing_path(name: str) -> bool:
    """Whether a name, of something here or on the Hugging Face hub, is that of a file or folder that is not there.

    It is one where it is written otherwise than NAME or OWNER/NAME, or lies in a folder that is here.
    """
    path = Path(name)
    if path.exists():
        return False
    return re.fullmatch(r"(\w[\w.-]*/)?[\w.-]+", name) is None or ("/" in name and path.parent.is_dir())


def read_json(path: Path) -> Any:
    """The value in a JSON file, with or without a byte order mark.

    Raises OSError for a file that is not there, and ValueError for one that is no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except RecursionError:
        raise ValueError("it is nested too deeply to be JSON of ours") from None
