"""A text as a table, a line for each token, with numbers as coloured cells; and the look of pages on a text.

Unlike the other pages these follow the reader's choice of light or dark: colours are `light-dark(...)`, and are laid
over the page's own with an opacity, so that text on them stays readable on both.
"""

import html
import math
from collections.abc import Sequence
from pathlib import Path

from experiments.investigate.attention_grid import visible
from experiments.pages import shell

HELPS, HURTS, LOSS = "213,94,0", "86,180,233", "148,103,189"  # colours of the other grid, and one for losses
RULES = """
& { color-scheme: light dark; color: light-dark(#1a1a1a, #e6e6e6); background: light-dark(#fff, #16181c) }
.quiet, figcaption { color: light-dark(#555, #b0b0b0) } code { background: light-dark(#f3f3f3, #2a2d33) !important }
td, th { border-bottom-color: light-dark(#ddd, #3a3d44) } summary { color: light-dark(#00507c, #7cc4f0) }
.tokens { font: 13px/1.9 ui-monospace, Menlo, Consolas, monospace; white-space: pre-wrap; overflow-wrap: anywhere }
.tokens span { padding: 1px 0; border-radius: 2px; box-shadow: inset 0 0 0 .5px #8884 }
.box { overflow: auto; max-height: 34rem; border: 1px solid #8885 } .box:focus { outline: 2px solid #1e88e5 }
.box table { border-collapse: separate; border-spacing: 0; margin: 0; font-size: .8rem }
.box td, .box th { padding: .1rem .3rem } .box th { position: sticky; top: 0; z-index: 1; vertical-align: bottom;
background: light-dark(#fff, #16181c); white-space: nowrap }
.box td:first-child, .box th:first-child { position: sticky; left: 0; background: light-dark(#fff, #16181c); z-index: 1;
max-width: 8.5rem; overflow: hidden; text-overflow: ellipsis; font-family: ui-monospace, Menlo, Consolas, monospace }
.box th:first-child { z-index: 2 } .box td.w { text-align: left; max-width: 9rem; overflow: hidden;
text-overflow: ellipsis; font-family: ui-monospace, Menlo, Consolas, monospace }
.box td.n { text-align: center; min-width: 1.6rem; font-size: .72rem }
"""


def colour(value: float, largest: float, positive: str = HELPS) -> str:
    """A CSS colour for a number: stronger the nearer it is to the largest; none for one that is not known."""
    if math.isnan(value) or largest <= 0:
        return "transparent"
    share = min(1.0, abs(value) / largest)
    return f"rgba({positive if value >= 0 else HURTS},{0.7 * share**0.75:.2f})"


def loss_cell(loss: float, largest: float) -> str:
    """A cell with a loss."""
    return f'<td class=n title="{loss:.3f}" style="background:{colour(loss, largest, LOSS)}">{loss:.1f}</td>'


def number_cell(value: float, largest: float, name: str) -> str:
    """A cell coloured by an effect, with its number where that is large; name: of what, for whoever points at it."""
    shown = f"{value:+.1f}".replace("+", "") if abs(value) >= 0.05 and abs(value) >= 0.08 * largest else ""
    label = html.escape(f"{name}: {value:+.3f}")
    return f'<td class=n title="{label}" style="background:{colour(value, largest)}">{shown}</td>'


def word_cell(word: str) -> str:
    """A cell with a token."""
    return f'<td class=w title="{html.escape(repr(word))}">{visible(word)}</td>'


def text_line(tokens: Sequence[str], losses: Sequence[float], notes: Sequence[str]) -> str:
    """The text with its tokens coloured by loss; notes: what to say of each to whoever points at it."""
    largest = max(losses)
    parts = []
    for token, value, note in zip(tokens, losses, notes, strict=True):
        label = html.escape(f"{token!r}: {value:.2f} nats, {note}")
        parts.append(
            f'<span title="{label}" style="background:{colour(value, largest, LOSS)}">{_as_written(token)}</span>'
        )
    return f"<p class=tokens>{''.join(parts)}</p>"


def _as_written(token: str) -> str:
    """The token as HTML in which a line break is seen and breaks."""
    return html.escape(token).replace("\n", "⏎\n")


def table(columns: Sequence[str], lines: Sequence[str], label: str) -> str:
    """Lines of cells (HTML) below column names, in a box that scrolls by keys once it has the focus."""
    head = "".join(f"<th scope=col>{html.escape(name)}</th>" for name in columns)
    body = "".join(f"<tr>{line}</tr>\n" for line in lines)
    return (
        f'<div class=box tabindex=0 role=region aria-label="{html.escape(label)}">'
        f"<table><thead><tr>{head}</tr></thead><tbody>\n{body}</tbody></table></div>"
    )


def write(path: Path, title: str, fragment: str) -> Path:
    """A page around what a notebook shows; returns its path."""
    return shell.write(path, title, f"<style>:root {{ color-scheme: light dark }}</style>{fragment}")
