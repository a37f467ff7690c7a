"""Foreign text that is on every machine: the C++ headers that PyTorch installs for its extensions."""

import hashlib
from importlib import metadata
from pathlib import Path

from experiments.corpora.python_sources import HELD_OUT_SHARE, LARGEST_FILE, Document

FOLDER = ("torch", "include", "torch")  # the same with and without CUDA
ENOUGH = 6_000_000  # characters


def documents() -> tuple[list[Document], int]:
    """All headers, in an order that their paths' hashes fix, each once, and the number of files that could not be read.

    Raises ValueError where PyTorch was installed without them.
    """
    files = [file for file in metadata.files("torch") or () if file.suffix == ".h" and file.parts[:3] == FOLDER]
    kept, seen, skipped, characters = [], set(), 0, 0
    for key, file in sorted((hashlib.sha256(file.as_posix().encode()).hexdigest(), file) for file in files):
        text = _read(Path(str(file.locate())))
        if text is None:
            skipped += 1
        elif text not in seen and characters < ENOUGH:
            seen.add(text)
            characters += len(text)
            kept.append(Document("cpp", "test" if int(key[:8], 16) < HELD_OUT_SHARE * 2**32 else "train", text))
    if not kept:
        raise ValueError("corpus 'cpp': this PyTorch has no C++ headers: reinstall it from a wheel")
    return kept, skipped


def _read(path: Path) -> str | None:
    """The text of a file; None when it is empty, too large, not UTF-8 or cannot be read."""
    try:
        raw = path.read_bytes()
        return raw.decode("utf-8").replace("\r\n", "\n") if 0 < len(raw) <= LARGEST_FILE else None
    except (OSError, ValueError):
        return None
