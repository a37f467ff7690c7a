"""What shows itself as a file: a page with links to the run's other pages (and its index brought up to date), or the
picture or the table of it by itself.
"""

import shlex
from collections.abc import Callable
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from experiments.pages import index_page
from experiments.pages.layout import page as layout
from experiments.pages.layout import run_links
from experiments.pages.layout.page import Page
from experiments.plots import render
from experiments.results.cells import Cells
from experiments.runs import places
from experiments.storage.files import write_bytes

PICTURES: dict[str, render.Suffix] = {".png": "png", ".svg": "svg", ".pdf": "pdf"}


def save_shown(
    path: str | Path,
    cells: Cells | None,
    page: Callable[[], Page],
    figure: Callable[[], Figure] | None = None,
    frame: Callable[[], pd.DataFrame] | None = None,
) -> Path:
    """Writes what a notebook shows: .html as one page that needs nothing else, .png, .svg or .pdf its picture where it
    has one, .csv its table where it has one, with the index where that has a name. Returns the path. cells: of the run
    that it is about; None: of a text alone.

    Raises ValueError for another suffix, before anything is measured.
    """
    path, known = Path(path), [".html", *(PICTURES if figure else ()), *([".csv"] if frame else [])]
    suffix = path.suffix.lower()
    if suffix not in known:
        raise ValueError(f"{path}: it is written as {_listed(known)}, give a path that ends so")
    if suffix == ".html":
        return save(page(), path, cells) if cells else _alone(page(), path)
    if suffix == ".csv":
        assert frame is not None
        table = frame()
        write_bytes(path, table.to_csv(index=table.index.names != [None]).encode())
    else:
        assert figure is not None
        write_bytes(path, render.image_file(figure(), PICTURES[suffix]))
    return path


def _alone(page: Page, path: Path) -> Path:
    write_bytes(path, layout.document(page).encode())
    return path


def _listed(suffixes: list[str]) -> str:
    return " or ".join(filter(None, (", ".join(suffixes[:-1]), suffixes[-1])))


def save(page: Page, path: str | Path, cells: Cells) -> Path:
    """Writes a page about a run; returns its path.

    One that lies in the results folder links to what else is there, and the folder's index to it.
    """
    path = Path(path)
    links = run_links.between(cells.folder, path)
    write_bytes(path, layout.document(page, links).encode())
    if links:
        update_index(cells)
    return path


def update_index(cells: Cells) -> Path:
    """Writes the index of the results folder, where it does not say what is there by now; returns its path."""
    return index_page.write(cells.folder, cells.run.name, _flags(cells))


def _flags(cells: Cells) -> str:
    """The flags with which verbs write into this results folder."""
    flags = ["--run", cells.run.name]
    own = cells.folder.absolute() == places.results_of(cells.run.name).absolute()
    return shlex.join(flags if own else [*flags, "--out", str(cells.folder)])
