"""A figure as SVG that stands in a page: no prolog, a name for those who do not see it, ids that are nobody else's."""

import hashlib
import html
import io
import re

import matplotlib
from matplotlib.figure import Figure


def svg(figure: Figure, name: str) -> str:
    """An <svg> element with a title and an aria-label; ids and the references to them begin with a hash of it all."""
    content = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "devcircuits", "font.family": "DejaVu Sans"}):
        figure.savefig(content, format="svg", metadata={"Date": None}, facecolor="white")
    drawn = content.getvalue()
    drawn = drawn[drawn.index("<svg") :].strip()
    drawn = re.sub(r"<metadata>.*?</metadata>", "", drawn, flags=re.DOTALL)
    own = "f" + hashlib.sha256((name + drawn).encode()).hexdigest()[:8]
    drawn = re.sub(r'\bid="', f'id="{own}-', drawn)
    drawn = re.sub(r'(href="#|url\(#)', rf"\g<1>{own}-", drawn)
    label = html.escape(name)
    head, rest = drawn.split(">", 1)
    return f'{head} role="img" aria-label="{label}"><title>{label}</title>{rest}'
