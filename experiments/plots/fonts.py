"""Text that people wrote (names of runs, tokens of a text) as figures draw it: as it is written, in any script."""

from functools import lru_cache
from typing import Any

from matplotlib import font_manager
from matplotlib.ft2font import FT2Font

FONT_FAMILY = "DejaVu Sans"  # comes with matplotlib
NO_FONT = "Last Resort"  # beginning of the name of a font that has a box in place of every character


def as_written(text: str, family: str = FONT_FAMILY) -> dict[str, Any]:
    """How matplotlib is to draw a text of a user's: a dollar sign is a dollar sign, and begins no mathematics.

    Returned are keywords of its functions that write text. Characters that the family lacks are drawn in the first
    installed fonts that have them.
    """
    lacking = frozenset(map(ord, text)) - _characters(font_manager.findfont(family)) - {ord("\n")}
    return {"parse_math": False, "family": [family, *_fallbacks(lacking)]}


@lru_cache(maxsize=64)
def _fallbacks(lacking: frozenset[int]) -> tuple[str, ...]:
    """Names of installed fonts that have these characters, as far as there are any; upright and regular ones first."""
    families: list[str] = []
    entries = sorted(font_manager.fontManager.ttflist, key=lambda f: (f.style != "normal", f.weight != 400, f.name))
    for entry in entries if lacking else ():
        if not entry.name.startswith(NO_FONT) and lacking & _characters(entry.fname):
            families.append(entry.name)
            lacking -= _characters(entry.fname)
        if not lacking:
            break
    return tuple(families)


@lru_cache(maxsize=1024)
def _characters(path: str) -> frozenset[int]:
    """The code points that a font has."""
    return frozenset(FT2Font(path).get_charmap())
