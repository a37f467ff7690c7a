"""Folders that are built once and kept in the user's cache; an interrupted build leaves nothing behind."""

import contextlib
import hashlib
import logging
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import platformdirs

log = logging.getLogger(__name__)


def built(name: str, build: Callable[[Path], None]) -> Path:
    """The cache folder of this name, built in a temporary one and renamed; a second builder's copy is discarded."""
    root = Path(os.environ.get("DEVCIRCUITS_CACHE") or platformdirs.user_cache_dir("devcircuits"))
    final = root / name
    if final.is_dir():
        return final
    log.info("building %s, once; it is kept in the cache", name)
    final.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=final.parent, prefix=".building-"))
    try:
        build(temporary)
        with contextlib.suppress(OSError):  # another process was first
            temporary.rename(final)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return final


def digest(*parts: str) -> str:
    """The first 16 hexadecimal digits of the sha256 of these texts."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
