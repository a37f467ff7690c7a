"""The page itself: the page's own files and a run's data joined into one file that needs nothing else."""

import html
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.explorer import data
from experiments.pages import saving
from experiments.plots import circuit, style
from experiments.results.cells import Cells
from experiments.results.file_names import variant
from experiments.storage.files import write_bytes

FOLDER = Path(__file__).parent
# Each uses those before it: the order in which they stand in the page.
SCRIPTS = (
    *("weights", "algebra", "model", "losses", "live", "tokenizer", "svg", "scales", "state", "exports", "tables"),
    *(
        "mib",
        "scrubber",
        "circuit_steps",
        "part_tokens",
        "effect_curve",
        "tokens",
        "details",
        "circuit_controls",
        "circuit",
    ),
    *("strip_rows", "strips", "outcome", "removals", "text", "map_data", "map_picture", "map_words", "token_map"),
    "main",
)
_IMPORT = re.compile(r"^import .*?;\n", re.MULTILINE | re.DOTALL)
_EXPORT = re.compile(r"^export ", re.MULTILINE)


def write(cells: Cells) -> Path:
    """Writes explore.html into the results folder, and its index anew; returns the page's path. What `data.missing`
    says is measured here.
    """
    path = cells.folder / f"explore{variant(cells.run, cells.plan)}.html"
    write_bytes(path, build(data.gather(cells)).encode())
    saving.update_index(cells)
    return path


def build(gathered: dict[str, Any]) -> str:
    """The page of what `data.gather` gives."""
    colors = {"via": circuit.COLORS, "viaNames": circuit.NAMES, "lines": list(style.COLORS)}
    parts = {
        "title": html.escape(gathered["name"]),
        "style": (FOLDER / "explorer.css").read_text(),
        "data": as_script(gathered | {"colors": colors}),
        "script": joined(SCRIPTS),
    }
    template = (FOLDER / "explorer.html").read_text()
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], template)


def as_script(value: Any) -> str:
    """JSON that may stand in a <script> element: whatever text is in it, the element ends where it should."""
    return json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def joined(names: Sequence[str]) -> str:
    """Modules as one: what they import from each other stands before them, under the same names."""
    sources = [(FOLDER / f"{name}.js").read_text() for name in names]
    return "\n".join(_EXPORT.sub("", _IMPORT.sub("", source)) for source in sources)
