"""The training step of a checkpoint, read from the names of files."""

import re
from collections.abc import Sequence
from pathlib import Path

# What stands before the step in a name: the first of these words that a name has.
WORDS = ("step", "iteration", "iter", "checkpoint", "ckpt", "tokens")


def steps_of_names(source: str, files: Sequence[str]) -> list[int]:
    """The step of each of these files: the number after "step" and the like, or the one that differs between names.

    source: what holds the files, for messages. Raises ValueError where the names leave open which number it is.
    """
    if part := next((file for file in files if re.search(r"-\d+-of-\d+$", Path(file).stem)), ""):
        raise ValueError(f"{source}: {part} is one of several parts of a checkpoint: save it as one file")
    after_words = [_after_word(Path(file).stem) for file in files]
    if None not in after_words:
        return [number for number in after_words if number is not None]
    rows = [_whole_numbers(Path(file).stem) for file in files]
    place = _place_of_step(rows)
    if place is None:
        raise ValueError(
            f"{source}: the names of {files[0]} and the like do not say which number is the step: "
            "rename them, such as checkpoint_0000100.pth"
        )
    return [row[place] for row in rows]


def _place_of_step(rows: Sequence[Sequence[int]]) -> int | None:
    """Which number of each name is the step: the only one, or the only one that differs; None where it is open."""
    count = len(rows[0])
    if any(len(row) != count for row in rows):
        return None
    differing = [place for place in range(count) if len({row[place] for row in rows}) > 1]
    if count > 1 and len(differing) == 1:
        return differing[0]
    return 0 if count == 1 else None


def _after_word(stem: str) -> int | None:
    """The whole number after the first word of WORDS that has one."""
    for word in WORDS:
        match = re.search(rf"{word}s?[-_= ]*(\d+)(?![\d]*\.\d)", stem, re.IGNORECASE)
        if match:
            return int(match[1])
    return None


def _whole_numbers(stem: str) -> list[int]:
    """All numbers in a name that are no decimal fractions, such as a loss."""
    return [int(number) for number in re.findall(r"(?<![\d.])\d+(?!\d*\.\d)", stem)]
