"""Figures as images that stand in a page, so that the ids of one meet no others."""

import base64
import io
from pathlib import Path

from markupsafe import Markup
from matplotlib.figure import Figure
from PIL import Image

from experiments.plots import render

KINDS = {"svg": "svg+xml", "webp": "webp"}
WIDTH, QUALITY = 1240, 75  # pixels; of WebP, at which text in a figure stays clear


def image(figure: Figure, alt: str) -> Markup:
    """A figure as an image; alt: what it shows, for those who do not see."""
    return embedded(render.svg(figure, alt).encode(), alt)


def embedded(content: bytes, alt: str, suffix: str = "svg") -> Markup:
    """The content of an SVG or WebP file as an <img> element."""
    encoded = base64.b64encode(content).decode()
    element = Markup('<img alt="{}" src="data:image/{};base64,{}" class="picture">')
    return element.format(alt, KINDS[suffix], encoded)


def reduced(png: Path, alt: str) -> Markup:
    """A PNG file no wider than a page, as WebP: a fifth of the bytes, for a page with many figures."""
    content = io.BytesIO()
    with Image.open(png) as whole:
        height = round(whole.height * WIDTH / whole.width)
        shown = whole.convert("RGB")
        shown = shown.resize((WIDTH, height), Image.Resampling.LANCZOS) if whole.width > WIDTH else shown
        shown.save(content, "webp", quality=QUALITY, method=6)
    return embedded(content.getvalue(), alt, "webp")
