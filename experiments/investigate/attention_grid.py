"""A text and a head's attention on it as a grid: a line for each token, the token after it, and the head's effect.

The grid is of plain elements, so that the text is in the reader's own font, and stays text.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float
from markupsafe import Markup

from experiments.investigate import own_text
from experiments.pages import saving
from experiments.pages.layout import page as layout
from experiments.pages.layout.environment import macros
from experiments.pages.layout.page import Made, Page

LONG = 40  # tokens: from there on the grid scrolls in a box of its own, its names in sight
BAR = 46  # pixels, of the largest effect


@dataclass(frozen=True)
class TextAttention:
    """Some tokens in a row, and the token that follows each. It shows itself in a notebook."""

    head: str
    tokens: list[str]
    following: list[str]  # of the last one: empty where the text ends
    attention: Float[np.ndarray, "query key"]  # among these tokens
    earlier: Float[np.ndarray, " query"]  # to all before them
    effect: Float[np.ndarray, " query"]  # of its mean ablation on the loss of the following token; NaN: none
    source: str  # where the text is from, in words

    @property
    def frame(self) -> pd.DataFrame:
        """One row for each token: attention to each of these tokens by place, then earlier, effect and following."""
        rows = pd.DataFrame(self.attention, index=pd.Index(self.tokens, name="token"))
        return rows.assign(earlier=self.earlier, effect=self.effect, following=self.following)

    @property
    def page(self) -> Page:
        """What it shows."""
        title, made = f"Where {self.head} attends", Made(f'inv["{self.head}"].attention')
        return Page(title, f"The attention of one head on {self.source}.", [], made, grid(self))

    def save(self, path: str | Path) -> Path:
        """Writes what a notebook shows as a page (.html), or `frame` (.csv) by itself; returns the path. Raises
        ValueError for another suffix.
        """
        return saving.save_shown(path, None, lambda: self.page, frame=lambda: self.frame)

    def _repr_html_(self) -> str:
        return layout.cell(self.page)


def grid(text: TextAttention) -> Markup:
    """Lines are the tokens that the head attends from (queries), columns those that it attends to (keys)."""
    shown = [own_text.visible(token) for token in text.tokens]
    outside = bool((text.earlier > 0.005).any())
    largest = max((abs(e) for e in text.effect.tolist() if not math.isnan(e)), default=0.0) or 1.0
    made: Markup = macros("attention").grid(
        text.head,
        text.source,
        own_text.WHITE,
        outside,
        shown,
        [_line(text, number, outside, largest) for number in range(len(shown))],
        BAR + 50,
        len(shown) + outside > LONG,
    )
    return made


def _line(text: TextAttention, number: int, outside: bool, largest: float) -> tuple:
    """A token, the cells of its attention, the token after it, and the bar of the effect there."""
    weights = text.attention[number, : number + 1].tolist()
    earlier = [float(text.earlier[number])] if outside else []
    shades = [(f"{weight**0.75:.2f}", f"{weight:.2f}") if weight >= 0.005 else None for weight in [*earlier, *weights]]
    name, following = own_text.visible(text.tokens[number]), own_text.visible(text.following[number])
    return name, shades, following, _bar(float(text.effect[number]), largest)


def _bar(effect: float, largest: float) -> tuple[bool, float, str] | None:
    """Whether the head helps, the bar's width in pixels, and its number where that is large; None for no effect."""
    if math.isnan(effect):
        return None
    return effect >= 0, BAR * abs(effect) / largest, f"{effect:+.2f}" if abs(effect) >= 0.1 * largest else ""
