"""The page of a results folder: links to what is there, and the command for what is not.

It is made of the folder's files alone and loads nothing heavy, so that it opens at once.
"""

from pathlib import Path

from experiments.pages.layout import elements
from experiments.pages.layout import page as layout
from experiments.pages.layout.environment import macros
from experiments.pages.layout.page import Made, Page
from experiments.pages.layout.run_links import INDEX, PARTS, Link, Part, address, found
from experiments.storage.files import write_bytes


def write(folder: Path, run: str, flags: str) -> Path:
    """Writes index.html of a results folder where it is missing or no longer says what is there; returns its path."""
    path, content = folder / INDEX, layout.document(page(folder, run, flags)).encode()
    if not path.is_file() or path.read_bytes() != content:
        write_bytes(path, content)
    return path


def page(folder: Path, run: str, flags: str) -> Page:
    """The page of a results folder, which need not be there yet; flags: with which verbs write into it."""
    shown, listed = [], set[Path]()
    for part in PARTS:
        files = [path for path in found(folder, part) if path not in listed]
        listed |= set(files)
        links = [Link(path.stem, address(path, folder / INDEX)) for path in files]
        shown.append(macros("index").part(part, links, *_how(part, flags)))
    about = f"All that the results folder of {run} holds by now; devcircuits open brings this page up to date."
    made = Made(f"devcircuits open {flags.removeprefix('--run ')}", run)
    return Page(f"Results of {run}", about, [], made, elements.joined(*shown))


def _how(part: Part, flags: str) -> tuple[str, str]:
    """Where a part is made, and the line to type there."""
    if not part.verb:
        return "in Python", part.call
    return "on the command line", f"devcircuits {part.verb if part.verb == 'claims' else f'{part.verb} {flags}'}"
