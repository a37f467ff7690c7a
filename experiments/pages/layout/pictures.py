"""Figures as images that stand in a page, so that the ids of one meet no others; on a light ground in the dark, too."""

import base64
from pathlib import Path

from markupsafe import Markup
from matplotlib.figure import Figure

from experiments.plots import render

KINDS = {"svg": "svg+xml", "png": "png"}


def image(figure: Figure, alt: str) -> Markup:
    """A figure as an image; alt: what it shows, for those who do not see."""
    return embedded(render.svg(figure, alt).encode(), alt)


def embedded(content: bytes, alt: str, suffix: str = "svg") -> Markup:
    """The content of an SVG or PNG file as an <img> element."""
    encoded = base64.b64encode(content).decode()
    element = Markup('<img alt="{}" src="data:image/{};base64,{}" class="picture">')
    return element.format(alt, KINDS[suffix], encoded)


def smaller(svg: Path, png: Path, alt: str) -> Markup:
    """The smaller of two files of one figure: points by the thousand are smaller as PNG, lines as SVG."""
    chosen = min(svg, png, key=lambda path: path.stat().st_size)
    return embedded(chosen.read_bytes(), alt, chosen.suffix.removeprefix("."))
