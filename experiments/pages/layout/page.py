"""What a page says, as a record; and the record as a whole document, or as it stands in a notebook's cell."""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from markupsafe import Markup

from ablations.not_measurable import NotMeasurable
from experiments import __version__
from experiments.pages.layout import elements
from experiments.pages.layout.environment import environment, style
from experiments.pages.layout.run_links import Group


class Made(NamedTuple):
    """How a page was made, for its last line."""

    command: str  # as it is typed, on the command line or in Python
    run: str = ""  # the run's name; empty where the page is of several


class Section(NamedTuple):
    """A part of a page below a heading of its own."""

    title: str
    body: Markup
    id: str = ""  # that links lead to; made of the title where it is empty
    label: Markup = Markup()  # beside the title


class Page(NamedTuple):
    """All that a page says; texts are plain, and escaped where they are shown."""

    title: str
    about: str  # what it is, in one sentence
    sections: Sequence[Section]
    made: Made
    lead: Markup = Markup()  # before the first section
    label: str = ""  # beside the title, as a pill
    name: str = ""  # in the browser's tab, where it is not the title


def section(title: str, content: Callable[[], Markup]) -> Section:
    """A section; where its content cannot be measured, a sentence that says why stands there."""
    try:
        return Section(title, content())
    except NotMeasurable as error:
        return Section(title, elements.not_measured(error))


def document(page: Page, links: Sequence[Group] = ()) -> str:
    """A whole document that needs nothing else; links: to the other pages of the run."""
    anchored = page._replace(sections=_with_ids(page.sections))
    template = environment().get_template("base.html")
    return template.render(page=anchored, links=links, style=style(), version=__version__) + "\n"


def cell(page: Page) -> str:
    """The same for a notebook, which may show several: without ids, and without links to other pages."""
    return environment().get_template("cell.html").render(page=page, style=style())


def _with_ids(sections: Sequence[Section]) -> list[Section]:
    """Every section with an id that no other has."""
    taken: set[str] = set()
    anchored = []
    for each in sections:
        plain = each.id or re.sub(r"\W+", "-", each.title.lower()).strip("-") or "section"
        free = next(name for number in range(1, len(sections) + 2) if (name := _numbered(plain, number)) not in taken)
        taken.add(free)
        anchored.append(each._replace(id=free))
    return anchored


def _numbered(name: str, number: int) -> str:
    return name if number == 1 else f"{name}-{number}"
