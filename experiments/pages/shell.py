"""The one look of all pages, and of what shows itself in a notebook: static, nothing from outside, no scripts.

Everything stands in an element of one class, and every rule is bound to it, so that a notebook's other cells stay as
they are. Colours are set on the element itself: notebooks may be dark, and style tables and code their own way.
"""

import base64
import html
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from ablations.not_measurable import NotMeasurable
from experiments.plots import render
from experiments.storage.files import write_bytes

CLASS = "devcircuits-card"
RULES = """
& { font: 15px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff; color-scheme: light; max-width: 1040px;
padding: 1.1rem 1.3rem; box-sizing: border-box; text-align: left; overflow-wrap: break-word }
h1 { font-size: 1.45rem; line-height: 1.25; margin: 0; font-weight: 650; color: inherit }
h2 { font-size: 1.08rem; line-height: 1.3; margin: 1.9rem 0 .35rem; font-weight: 650; color: inherit }
h3 { font-size: .92rem; margin: .8rem 0 .2rem; font-weight: 600; color: inherit }
p { margin: .3rem 0 .5rem } .quiet, figcaption { color: #555; font-size: .87rem }
.side { display: flex; flex-wrap: wrap; gap: .4rem 2rem; align-items: flex-start } .side > * { flex: 0 1 auto }
.side > .wide { flex: 1 1 20rem; min-width: 0 }
img { max-width: 100%; height: auto; display: block; margin: 0; background: #fff }
figure { margin: .9rem 0 } figure img, figure svg { width: 100%; height: auto; display: block }
.scroll { overflow-x: auto }
table { border-collapse: collapse; font-size: .87rem; margin: .4rem 0; width: auto; color: inherit; border: 0 }
tr, tbody tr:nth-child(even), tbody tr:hover, thead { background: transparent !important }
td, th { padding: .2rem .45rem; text-align: right; white-space: nowrap; border: 0; border-bottom: 1px solid #ddd;
font-variant-numeric: tabular-nums; color: inherit; vertical-align: baseline; font-weight: 400 }
th { font-weight: 600; vertical-align: bottom; white-space: normal }
td.w, th.w, td:first-child, th:first-child { text-align: left }
table.loose td { white-space: normal } table.loose td.w { min-width: 8rem }
code { background: #f3f3f3 !important; color: inherit !important; padding: .05rem .28rem; border-radius: 3px;
font: .86em ui-monospace, Menlo, Consolas, monospace }
.type { display: inline-block; border-radius: 999px; padding: .05rem .7rem; margin-left: .5rem; font-size: .95rem;
vertical-align: .12em; background: #e7f0f7; color: #00507c; font-weight: 600 }
details { margin: .5rem 0 } summary { cursor: pointer; color: #00507c; font-size: .87rem }
"""


def page(title: str, fragment: str) -> str:
    """A whole document around a `fragment`; the title is plain text."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{html.escape(title)}</title><style>body {{ margin: 0; background: #fff }} "
        f".{CLASS} {{ margin: 0 auto }}</style></head><body>\n{fragment}\n</body></html>\n"
    )


def write(path: str | Path, title: str, fragment: str) -> Path:
    """Writes a whole document around a `fragment`; returns its path."""
    write_bytes(Path(path), page(title, fragment).encode())
    return Path(path)


def fragment(body: str, rules: str = "") -> str:
    """HTML with its style, as it stands in a notebook's cell; rules: CSS beside the common `RULES`."""
    return f"<div class={CLASS}><style>{scoped(RULES + rules)}</style>\n{body}\n</div>"


def scoped(rules: str) -> str:
    """CSS whose rules hold in the fragment alone; "&" is the fragment's element itself."""

    def bind(match: re.Match[str]) -> str:
        selectors = [selector.strip() for selector in match[1].split(",")]
        return ", ".join(f".{CLASS}" if name == "&" else f".{CLASS} {name}" for name in selectors) + " {"

    return re.sub(r"([^{}]+)\{", bind, rules)


def image(figure: Figure, alt: str) -> str:
    """A figure as an image of its own, so that its ids meet no others; alt: what it shows, for those who do not see."""
    return embedded(render.svg(figure, alt).encode(), alt)


def embedded(svg: bytes, alt: str) -> str:
    """The content of an SVG file as an <img> element."""
    content = base64.b64encode(svg).decode()
    return f'<img alt="{html.escape(alt)}" src="data:image/svg+xml;base64,{content}">'


def captioned(picture: str, caption: str) -> str:
    """A picture (HTML) with its caption (plain text) below."""
    return f"<figure>{picture}<figcaption>{html.escape(caption)}</figcaption></figure>"


def section(title: str, content: Callable[[], str]) -> str:
    """A heading and its content; where something cannot be measured, a sentence that says why stands there."""
    try:
        body = content()
    except NotMeasurable as error:
        body = not_measured(error)
    return f"<h2>{html.escape(title)}</h2>\n{body}"


def not_measured(error: Exception | str) -> str:
    """A paragraph that says why something was not measured."""
    return f"<p>Not measured: {html.escape(str(error).rstrip('.'))}.</p>"


def table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], words: Sequence[int] = (0,), loose: bool = False
) -> str:
    """Cells are HTML, column names plain text; columns that hold words stand on the left, and loose ones may break."""
    kind = [" class=w" if number in words else "" for number in range(len(columns))]
    head = "".join(f"<th{k}>{html.escape(name)}</th>" for k, name in zip(kind, columns, strict=True))
    lines = ["".join(f"<td{k}>{cell}</td>" for k, cell in zip(kind, row, strict=True)) for row in rows]
    body = "\n".join(f"<tr>{line}</tr>" for line in [head, *lines])
    return f"<div class=scroll><table{' class=loose' if loose else ''}>{body}</table></div>"


def sentence(text: str) -> str:
    """Plain text as an escaped sentence: a capital in front, a full stop at the end."""
    return html.escape(text[0].upper() + text[1:].removesuffix(".") + ".")
