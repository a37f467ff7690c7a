"""The page of a results folder: links to what is there, and the command for what is not.

It is made of the folder's files alone and loads nothing heavy, so that it opens at once.
"""

import html
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from experiments.storage.files import write_bytes

NAME = "index.html"


class Part(NamedTuple):
    """A kind of result: which files it is in, and which verb makes it."""

    title: str
    what: str
    files: tuple[str, ...]  # patterns in the results folder; of each name the first of them that is there
    verb: str  # of the command line, with what it is asked for; empty where there is none
    call: str = ""  # in Python, where there is no verb


PARTS = (
    Part("Report", "the main numbers and figures of the run", ("report*.html",), "reproduce"),
    Part("Heads", "a card for each head that was looked at", ("heads/*.html",), "investigate L1H4"),
    Part("Texts of your own", "what the model does on them", ("prompts/*.html",), "", 'inv.on("some text").save()'),
    Part("Curves", "a learning coefficient over training", ("rllc_*.html",), "", 'inv.rllc("L0H5+L1H4").save()'),
    Part("Circuits", "the paths that carry a task", ("circuit_*.html",), "circuit --task induction"),
    Part("Types", "what each head is", ("figures/types_*.svg", "tables/types_*.csv"), "types"),
    Part("Affected tokens", "where removing a part matters most", ("affected_*.html",), "affected L1H4"),
    Part("Claims", "the paper's findings, tested on several runs", ("../claims/report.html",), "claims"),
    Part("Figures", "each as SVG; its table is in tables/", ("figures/*.svg",), "figure rllcs"),
)
STYLE = """
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 52rem; margin: 0 auto; padding: 1.2rem; overflow-wrap: anywhere;
color: #1a1a1a; color: light-dark(#1a1a1a, #e6e6e6); background: #fff; background: light-dark(#fff, #16181c) }
h1 { font-size: 1.45rem; margin: 0 0 .3rem } h2 { font-size: 1.08rem; margin: 1.5rem 0 0 } p { margin: .2rem 0 }
.quiet { opacity: .75; font-size: .9rem } ul { margin: .3rem 0; padding-left: 1.2rem; columns: 15rem }
a { color: #00507c; color: light-dark(#00507c, #7cc4f0) } code { font: .88em ui-monospace, Menlo, Consolas, monospace }
"""


def write(folder: Path, run: str, flags: str) -> Path:
    """Writes index.html of a results folder where it is missing or no longer says what is there; returns its path."""
    path, content = folder / NAME, page(folder, run, flags).encode()
    if not path.is_file() or path.read_bytes() != content:
        write_bytes(path, content)
    return path


def page(folder: Path, run: str, flags: str) -> str:
    """The page of a results folder, which need not be there yet; flags: with which verbs write into it."""
    body, listed = [], set[Path]()
    for part in PARTS:
        files = [path for path in found(folder, part) if path not in listed]
        listed |= set(files)
        body.append(f"<h2>{part.title}</h2>\n<p class=quiet>{html.escape(part.what)}</p>\n{_links(folder, files)}")
        if not files:
            body.append(_how(part, flags))
    title = html.escape(f"Results of {run}")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>{title}</title><style>{STYLE}</style></head>\n'
        f"<body>\n<h1>{title}</h1>\n"
        "<p class=quiet>What is in the results folder. <code>devcircuits open</code> brings this page up to date.</p>\n"
        + "\n".join(body)
        + "\n</body></html>\n"
    )


def found(folder: Path, part: Part) -> list[Path]:
    """The files of a part, sorted as a reader counts: step 800 before step 4800."""
    names: dict[str, Path] = {}
    for pattern in part.files:
        base = folder.parent if pattern.startswith("../") else folder
        for path in base.glob(pattern.removeprefix("../")):
            names.setdefault(path.stem, path)
    return [names[name] for name in sorted(names, key=_counted)]


def _counted(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def _links(folder: Path, files: Sequence[Path]) -> str:
    if not files:
        return ""
    items = [f'<li><a href="{html.escape(_address(folder, path))}">{html.escape(path.stem)}</a></li>' for path in files]
    return f"<ul>{''.join(items)}</ul>"


def _address(folder: Path, path: Path) -> str:
    """Relative to the page, so that the folder can be moved or sent."""
    return quote(
        path.relative_to(folder).as_posix() if path.is_relative_to(folder) else f"../{path.parent.name}/{path.name}"
    )


def _how(part: Part, flags: str) -> str:
    if not part.verb:
        return f"<p class=quiet>None yet: in Python, <code>{html.escape(part.call)}</code></p>"
    command = part.verb if part.verb == "claims" else f"{part.verb} {flags}"
    return f"<p class=quiet>None yet: <code>devcircuits {html.escape(command)}</code></p>"
