"""The forms of corpus names, told apart without any text, so that the command line refuses a wrong one at once.

What each name means stands in `documents`.
"""

from pathlib import Path

KNOWN = ("python", "python:code", "python:prose", "cpp")
SYNTHETIC = "synthetic"
SEPARATOR = ",separator="  # in the name of a corpus text:PATH, before what stands between documents


def check_form(name: str) -> None:
    """Raises ValueError for a name of no form that there is, and for text:PATH where there is no such path."""
    base, _, rest = name.partition(":")
    if base == "text" and rest:
        check_path(Path(rest.partition(SEPARATOR)[0]))
    elif not (name in KNOWN or base == SYNTHETIC or (base == "hf" and rest)):
        raise unknown(name)


def check_path(path: Path) -> None:
    """Raises ValueError where there is nothing for text:PATH to be read from."""
    if not path.exists():
        raise ValueError(
            f"corpus text:{path}: no such file or folder; give a .txt, .jsonl or .parquet file, or a folder of them"
        )


def unknown(name: str) -> ValueError:
    """What is said of a name of no known form."""
    if Path(name).exists():
        return ValueError(f"unknown corpus {name!r}: did you mean text:{name}?")
    return ValueError(f"unknown corpus {name!r}: use {', '.join(KNOWN)}, text:PATH, hf:NAME or synthetic")
