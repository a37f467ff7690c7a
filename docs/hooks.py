"""The documentation's build: pages and numbers that live elsewhere in the repository, and no request to other hosts."""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
PAGES = {
    "models.md": ROOT / "experiments/zoo/README.md",
    "contributing.md": ROOT / "CONTRIBUTING.md",
    "changelog.md": ROOT / "CHANGELOG.md",
}
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
# links that hold in the repository, and what they are in the site
REWRITTEN = (
    ("../benchmarks/results/", "results/"),
    ("../experiments/zoo/README.md", "models.md"),
    *((f"../notebooks/{path.name}", f"notebooks/{path.stem}.md") for path in NOTEBOOKS),
)
_LOADED = re.compile(
    r"""<(?:script|img|iframe|source|video|audio|embed|link(?![^>]*rel="?canonical))\b[^>]*?"""
    r"""\b(?:src|href|srcset)=["']?((?:https?:)?//[^"'\s>]+)""",
    re.IGNORECASE,
)
_STYLED = re.compile(r"""(?:url\(\s*["']?|@import\s+["'])((?:https?:)?//[^"')\s]+)""", re.IGNORECASE)


def on_files(files: "Files", config: "MkDocsConfig") -> "Files":
    """Adds the pages, the notebooks (as pages, and as they are), and the results that pages link to."""
    from mkdocs.structure.files import File

    for name, path in PAGES.items():
        files.append(File.generated(config, name, abs_src_path=str(path)))
    for path in NOTEBOOKS:
        files.append(File.generated(config, f"notebooks/{path.stem}.md", content=notebook_page(path)))
        files.append(File.generated(config, f"notebooks/{path.name}", abs_src_path=str(path)))
    for path in sorted((ROOT / "benchmarks/results").glob("*.json")):
        files.append(File.generated(config, f"results/{path.name}", abs_src_path=str(path)))
    return files


def notebook_page(path: Path) -> str:
    """The notebook as markdown: text as it is, code in fences, below its title where it is to be had.

    Outputs are left out. They are not in the repository, and to compute them takes longer than a build may.
    """
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    parts = ["".join(cell["source"]) for cell in cells]
    shown = [
        f"```python\n{part}\n```" if cell["cell_type"] == "code" else part
        for cell, part in zip(cells, parts, strict=True)
    ]
    title, _, rest = shown[0].partition("\n")
    note = f"*Code and text of [notebooks/{path.name}]({path.name}), without outputs: run it to see them.*"
    return "\n\n".join([title, note, rest.strip(), *shown[1:]]) + "\n"


def on_page_markdown(markdown: str, page: "Page", config: "MkDocsConfig", files: "Files") -> str:
    """Links out of docs/ lead to where the same thing is in the site."""
    for there, here in REWRITTEN:
        markdown = markdown.replace(f"]({there}", f"]({here}").replace(f"](../{there}", f"](../{here}")
    return markdown


def on_post_build(config: "MkDocsConfig") -> None:
    """Raises for a page or style sheet that would load something from another host when it is opened."""
    from mkdocs.exceptions import PluginError

    for path in sorted(Path(config.site_dir).rglob("*")):
        if path.suffix in (".html", ".css") and (found := foreign(path.read_text(encoding="utf-8"))):
            raise PluginError(f"{path.name} loads {found[0]}: the site is read offline, bundle it or leave it out")


def foreign(text: str) -> list[str]:
    """Addresses on other hosts that a browser fetches by itself to show this page or style sheet."""
    return _LOADED.findall(text) + _STYLED.findall(text)
