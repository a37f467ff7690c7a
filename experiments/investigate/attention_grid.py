"""A text and a head's attention on it as a grid: a line for each token, the token after it, and the head's effect.

The grid is of plain elements, so that the text is in the reader's own font, and stays text.
"""

import html
import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from experiments.investigate import own_text
from experiments.pages import shell

RULES = """
.grid { display: grid; font: 11.5px/16px ui-monospace, Menlo, Consolas, monospace; max-width: 960px; margin: .5rem 0;
white-space: pre } .grid > * { min-width: 0 } .grid .over { writing-mode: vertical-rl; transform: rotate(180deg);
line-height: 1; justify-self: center; max-height: 6.2rem; overflow: hidden; text-align: left; padding-top: 3px }
.grid .name { overflow: hidden; text-overflow: ellipsis; text-align: right; padding-right: 6px }
.grid .next { overflow: hidden; text-overflow: ellipsis; padding: 0 0 0 8px; color: #555 }
.grid .head { align-self: end; font: 12px/1.25 system-ui, sans-serif; color: #555; white-space: normal }
.grid i { border: .5px solid #eee; height: 16px; box-sizing: border-box }
.grid .bar { position: relative; height: 16px; border-left: 1px solid #888 }
.grid .bar b { position: absolute; top: 3px; height: 10px; background: #D55E00; left: 0 }
.grid .bar b.helps { background: #56B4E9 } .grid .bar span { position: absolute; left: 100%; padding-left: 4px }
.long { max-height: 36rem; overflow: auto; border: 1px solid #ddd } .long .grid { max-width: none }
.long .name, .long .over, .long .head { position: sticky; background: #fff; z-index: 1 } .long .name { left: 0 }
.long .over, .long .head { top: 0; z-index: 2 }
"""
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

    def _repr_html_(self) -> str:
        return shell.fragment(grid(self), RULES)


def grid(text: TextAttention) -> str:
    """Lines are the tokens that the head attends from (queries), columns those that it attends to (keys)."""
    head, shown = text.head, [visible(token) for token in text.tokens]
    outside = bool((text.earlier > 0.005).any())
    count = len(shown) + outside
    over = ["before" if outside else "", *shown][0 if outside else 1 :]
    cells = ["<div class='head name'>from</div>", *(f"<div class=over>{name}</div>" for name in over)]
    cells += ["<div class='head next'>token that follows</div>", "<div class=head>loss rise, nats</div>"]
    largest = max((abs(e) for e in text.effect.tolist() if not math.isnan(e)), default=0.0) or 1.0
    for number, name in enumerate(shown):
        weights = text.attention[number, : number + 1].tolist()
        if outside:
            weights = [float(text.earlier[number]), *weights]
        cells.append(f"<div class=name>{name}</div>")
        cells += [_cell(weight) for weight in weights]
        cells.append(f"<div class=next style='grid-column:{count + 2}'>{visible(text.following[number])}</div>")
        cells.append(_bar(float(text.effect[number]), largest))
    columns = f"minmax(3rem, 6.5rem) repeat({count}, minmax(11px, 18px)) minmax(3.5rem, 7rem) {BAR + 50}px"
    label = f"attention of {head} from each of {len(shown)} tokens to those before it, and the effect of its ablation"
    return (
        f"<p class=quiet>On {html.escape(text.source)}. Each line is a token and where {head} attends from it "
        "(darker: more; hover for the number); then the token that follows, and how much its loss rises under mean "
        "ablation of the head (orange: the head helps).</p>"
        f'<div class="scroll{" long" if count > LONG else ""}" tabindex=0>'
        f'<div class=grid role=img aria-label="{html.escape(label)}" '
        f'style="grid-template-columns:{columns}">' + "".join(cells) + "</div></div>"
    )


def _cell(weight: float) -> str:
    if weight < 0.005:
        return "<i></i>"
    return f'<i style="background:rgba(0,114,178,{weight**0.75:.2f})" title="{weight:.2f}"></i>'


def _bar(effect: float, largest: float) -> str:
    if math.isnan(effect):
        return "<div></div>"
    kind = "" if effect >= 0 else " class=helps"
    width = BAR * abs(effect) / largest
    number = f'<span style="left:{width:.0f}px">{effect:+.2f}</span>' if abs(effect) >= 0.1 * largest else ""
    return f'<div class=bar><b{kind} style="width:{width:.1f}px"></b>{number}</div>'


def visible(token: str) -> str:
    """A token as HTML in which spaces at the ends and line breaks are visible."""
    return html.escape(own_text.visible(token))
