"""A text as a table, a line for each token, with numbers as coloured cells.

Colours are laid over the page's own with an opacity, so that text on them stays readable in light and in dark.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from experiments.investigate.own_text import visible
from experiments.pages.affected_page import as_written
from experiments.pages.layout.environment import macros

HELPS, HURTS, LOSS = "213,94,0", "86,180,233", "148,103,189"  # colours of the other grid, and one for losses


class Cell(NamedTuple):
    """What stands in a cell, its class ("n": a number, "w": a word), what is told to who points at it, its colour."""

    shown: str
    kind: str
    told: str
    colour: str = ""


def colour(value: float, largest: float, positive: str = HELPS) -> str:
    """A CSS colour for a number: stronger the nearer it is to the largest; none for one that is not known."""
    if math.isnan(value) or largest <= 0:
        return "transparent"
    share = min(1.0, abs(value) / largest)
    return f"rgba({positive if value >= 0 else HURTS},{0.7 * share**0.75:.2f})"


def loss_cell(loss: float, largest: float) -> Cell:
    """A cell with a loss."""
    return Cell(f"{loss:.1f}", "n", f"{loss:.3f}", colour(loss, largest, LOSS))


def number_cell(value: float, largest: float, name: str) -> Cell:
    """A cell coloured by an effect, with its number where that is large; name: of what, for whoever points at it."""
    shown = f"{value:+.1f}".replace("+", "") if abs(value) >= 0.05 and abs(value) >= 0.08 * largest else ""
    return Cell(shown, "n", f"{name}: {value:+.3f}", colour(value, largest))


def word_cell(word: str) -> Cell:
    """A cell with a token."""
    return Cell(visible(word), "w", repr(word))


def text_line(tokens: Sequence[str], losses: Sequence[float], notes: Sequence[str]) -> Markup:
    """The text with its tokens coloured by loss; notes: what to say of each to whoever points at it."""
    largest = max(losses)
    parts = [
        Cell(as_written(token), "", f"{token!r}: {value:.2f} nats, {note}", colour(value, largest, LOSS))
        for token, value, note in zip(tokens, losses, notes, strict=True)
    ]
    made: Markup = macros("tokens").line(parts)
    return made


def table(columns: Sequence[str], lines: Sequence[Sequence[Cell]], label: str) -> Markup:
    """Lines of cells below column names, in a box that scrolls by keys once it has the focus."""
    made: Markup = macros("tokens").table(columns, lines, label)
    return made
