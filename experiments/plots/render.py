"""A figure as the bytes of a file, and as an SVG element that stands in a page."""

import hashlib
import html
import io
import re
from typing import Literal

import matplotlib
from matplotlib.figure import Figure

Suffix = Literal["svg", "png", "pdf"]


def image_file(figure: Figure, suffix: Suffix) -> bytes:
    """The content of an SVG, PNG or PDF file; the same figure gives the same bytes, so no date is in it."""
    return _saved(figure, suffix, dpi=150)


def svg(figure: Figure, name: str) -> str:
    """An <svg> element without a prolog, with a title and an aria-label for those who do not see it.

    Its ids, and the references to them, begin with a hash of it all, so that several stand in one page.
    """
    drawn = _saved(figure, "svg", dpi="figure").decode()
    drawn = drawn[drawn.index("<svg") :].strip()
    drawn = re.sub(r"<metadata>.*?</metadata>", "", drawn, flags=re.DOTALL)
    prefix = "f" + hashlib.sha256((name + drawn).encode()).hexdigest()[:8]
    drawn = re.sub(r'\bid="', f'id="{prefix}-', drawn)
    drawn = re.sub(r'(href="#|url\(#)', rf"\g<1>{prefix}-", drawn)
    label = html.escape(name)
    opening, rest = drawn.split(">", 1)
    return f'{opening} role="img" aria-label="{label}"><title>{label}</title>{rest}'


def _saved(figure: Figure, suffix: Suffix, dpi: int | Literal["figure"]) -> bytes:
    content = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "devcircuits", "font.family": "DejaVu Sans"}):
        metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(suffix)
        figure.savefig(content, format=suffix, dpi=dpi, metadata=metadata, facecolor="white")
    return content.getvalue()
