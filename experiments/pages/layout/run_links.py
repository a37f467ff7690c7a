"""The pages of a results folder by what they tell, as they are found there: for its index, and for links between them.

It is made of the folder's files alone and loads nothing heavy.
"""

import os
import re
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

INDEX = "index.html"
EXPLORER = "Explorer"


class Part(NamedTuple):
    """A kind of result: which files it is in, and which verb makes it."""

    title: str
    what: str
    files: tuple[str, ...]  # patterns in the results folder; of each name the first of them that is there
    verb: str  # of the command line, with what it is asked for; empty where there is none
    call: str = ""  # in Python, where there is no verb


PARTS = (
    Part("Report", "The main numbers and figures of the run.", ("report*.html",), "reproduce"),
    Part("Heads", "A card for each head that was looked at.", ("heads/*.html",), "investigate L1H4"),
    Part("Types", "What each head is, and why.", ("types*.html",), "types"),
    Part("Circuits", "The paths that carry a task.", ("circuit_*.html",), "circuit --task induction"),
    Part(EXPLORER, "All of training on one page, with the model alive in it.", ("explore*.html",), "explore"),
    Part("Affected tokens", "Where ablating a head or a path matters most.", ("affected_*.html",), "affected L1H4"),
    Part(
        "Texts of your own",
        "What the model does on them, and which heads matter for each token.",
        ("prompts/*.html",),
        "",
        'inv.on("some text").save()',
    ),
    Part("Curves", "A learning coefficient over training.", ("rllc_*.html",), "", 'inv.rllc("L0H5+L1H4").save()'),
    Part(
        "Claims",
        "The paper's findings, tested on several runs.",
        ("../claims/report.html", "claims/report.html"),
        "claims",
    ),
    Part("Figures", "Each as SVG; its table is in tables/.", ("figures/*.svg",), "figure rllcs"),
)


class Link(NamedTuple):
    """A way from one page to another, or to itself."""

    name: str
    address: str  # relative, so that the folder can be moved or sent
    here: bool = False


class Group(NamedTuple):
    """Links to pages of one kind."""

    title: str
    links: list[Link]


def found(folder: Path, part: Part) -> list[Path]:
    """The files of a part, sorted as a reader counts: step 800 before step 4800."""
    names: dict[str, Path] = {}
    for pattern in part.files:
        for path in _base(folder, pattern).glob(pattern.removeprefix("../")):
            names.setdefault(path.stem, path)
    return [names[name] for name in sorted(names, key=_counted)]


def between(folder: Path, page: Path) -> list[Group]:
    """Links from a page, which need not be there yet, to the others of its results folder, the index first; none for a
    page elsewhere.
    """
    if not page.absolute().is_relative_to(folder.absolute()):
        return []
    groups = [Group("Results", [_link(folder / INDEX, page)])]
    for part in PARTS:
        paths = {path for path in found(folder, part) if path.suffix == ".html"}
        paths |= {page} if any(page.parent == _place(folder, p) and page.match(p) for p in part.files) else set()
        if paths:
            ordered = sorted(paths, key=lambda path: _counted(path.stem))
            links = [_link(path, page) for path in ordered]
            view = _view(page) if part.title == EXPLORER else ""
            groups.append(Group(part.title, [link._replace(address=link.address + view) for link in links]))
    return groups


def address(path: Path, page: Path) -> str:
    """The way to a file from the page."""
    return quote(Path(os.path.relpath(path, page.parent)).as_posix())


def _link(path: Path, page: Path) -> Link:
    return Link(path.stem, address(path, page), path == page)


def _view(page: Path) -> str:
    """What the explorer is to show for a page, as a part of its address: the head of a card, chosen and pinned."""
    head = page.stem.partition("_")[0]
    return f"#chosen={head}&pins={head}" if page.parent.name == "heads" else ""


def _base(folder: Path, pattern: str) -> Path:
    """The folder that a pattern is looked for from."""
    return folder.parent if pattern.startswith("../") else folder


def _place(folder: Path, pattern: str) -> Path:
    """The folder that the files of a pattern are in."""
    return (_base(folder, pattern) / pattern.removeprefix("../")).parent


def _counted(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]
