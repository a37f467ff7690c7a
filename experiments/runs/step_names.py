"""Checkpoints among files, and the training step of each, read from the names of files."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

# What stands before the step in a name: the first of these words that a name has. After one of VAGUE_WORDS the number
# may as well be that of the checkpoint.
WORDS = ("step", "iteration", "iter", "checkpoint", "ckpt", "tokens")
VAGUE_WORDS = ("checkpoint", "ckpt")
# A whole number as people write it: 1000, 1e3, 1k or 1,000; not the whole part of 2.31.
NUMBER = (
    r"(?<![\d.])(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+(?:e\+?\d{1,2}(?!\d))?(?:[kmb](?![a-z0-9]))?)(?![\d]*(?:\.\d|e[-+]?\d))"
)
# Either one number with a mark between thousands, or two: step_1_000.
IN_TWO_WAYS = rf"({'|'.join(WORDS)})s?[-_= ]*[1-9]\d{{0,2}}(_\d{{3}})+(?!\d)"
PLACES = ("checkpoints/", "")  # where a source keeps its checkpoints: the first of these that has any
UNITS = {"k": 10**3, "m": 10**6, "b": 10**9}


def numbered_files(name: str, files: Iterable[str]) -> dict[int, str]:
    """The files by step: those in checkpoints/, or those at the top where it has none.

    Raises ValueError where there are none, two of one step, or names that leave open which number the step is.
    """
    places = {
        prefix: [f for f in files if re.fullmatch(prefix + r"[^/]*\d[kKmMbB]?\.(pth|pt|safetensors)", f)]
        for prefix in PLACES
    }
    chosen = next((names for names in places.values() if names), [])
    if not chosen:
        raise ValueError(
            f"{name} has no checkpoints (.pth, .pt or .safetensors): they are named by their steps, such as "
            "checkpoints/checkpoint_0000100.pth"
        )
    numbered: dict[int, str] = {}
    for file, step in zip(chosen, steps_of_names(name, chosen), strict=True):
        if step in numbered:
            raise ValueError(
                f"{name} has two checkpoints at step {step}, {numbered[step]} and {file}: keep one of them"
            )
        numbered[step] = file
    return numbered


def steps_of_names(source: str, files: Sequence[str]) -> list[int]:
    """The step of each of these files: the number after "step" and the like, or the one that differs between names.

    source: what holds the files, for messages. Raises ValueError where the names leave open which number it is.
    """
    stems = [Path(file).stem for file in files]
    if part := next((file for file, stem in zip(files, stems, strict=True) if re.search(r"-\d+-of-\d+$", stem)), ""):
        raise ValueError(f"{source}: {part} is one of several parts of a checkpoint: save it as one file")
    after_words = [_after_word(stem) for stem in stems]
    known = [number for number in after_words if number is not None]
    in_two_ways = any(re.search(IN_TWO_WAYS, stem, re.IGNORECASE) for stem in stems)
    if len(known) == len(files) and not _is_vague(stems) and not in_two_ways:
        return known
    rows = [_whole_numbers(stem) for stem in stems]
    place = _place_of_step(rows)
    if place is None or in_two_ways:
        raise ValueError(
            f"{source}: the names of {files[0]} and the like do not say which number is the step: "
            "rename them, such as checkpoint_0000100.pth"
        )
    return [row[place] for row in rows]


def _is_vague(stems: Sequence[str]) -> bool:
    """Whether another number than the one after "checkpoint" differs too: either could be the step."""
    if any(_word(stem) not in VAGUE_WORDS for stem in stems):
        return False
    rows = [_whole_numbers(stem) for stem in stems]
    widths = {len(row) for row in rows}
    return len(widths) > 1 or sum(len(set(column)) > 1 for column in zip(*rows, strict=True)) > 1


def _place_of_step(rows: Sequence[Sequence[int]]) -> int | None:
    """Which number of each name is the step: the only one, or the only one that differs; None where it is open."""
    count = len(rows[0])
    if any(len(row) != count for row in rows):
        return None
    differing = [place for place in range(count) if len({row[place] for row in rows}) > 1]
    if count > 1 and len(differing) == 1:
        return differing[0]
    return 0 if count == 1 else None


def _word(stem: str) -> str:
    """The first word of WORDS that has a whole number after it; empty where there is none."""
    return next((word for word in WORDS if _match(word, stem)), "")


def _after_word(stem: str) -> int | None:
    """The whole number after that word."""
    word = _word(stem)
    match = _match(word, stem) if word else None
    return _value(match[1]) if match else None


def _match(word: str, stem: str) -> re.Match[str] | None:
    return re.search(rf"{word}s?[-_= ]*({NUMBER})", stem, re.IGNORECASE)


def _whole_numbers(stem: str) -> list[int]:
    """All numbers in a name that are no decimal fractions, such as a loss."""
    return [_value(number) for number in re.findall(NUMBER, stem, re.IGNORECASE)]


def _value(number: str) -> int:
    """The value of a NUMBER."""
    plain = number.lower().replace(",", "")
    unit = UNITS.get(plain[-1], 1)
    digits, _, exponent = plain.rstrip("kmb").partition("e")
    return int(digits) * 10 ** int(exponent or 0) * unit
