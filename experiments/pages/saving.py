"""A page as a file of a run's results: with links to the run's other pages, and its index brought up to date."""

import shlex
from pathlib import Path

from experiments.pages import index_page
from experiments.pages.layout import page as layout
from experiments.pages.layout import run_links
from experiments.pages.layout.page import Page
from experiments.results.cells import Cells
from experiments.runs import places
from experiments.storage.files import write_bytes


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
