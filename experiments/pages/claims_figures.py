"""A figure of every run of a study, for the claims page: the first run's is shown, those of the others are linked.

All of them at full size would make a page of 14 MB; the files are beside it, in the results folders of the runs.
"""

from pathlib import Path
from typing import NamedTuple

from markupsafe import Markup

from ablations.not_measurable import NotMeasurable
from experiments import figures
from experiments.figures import files
from experiments.pages.layout import pictures, run_links
from experiments.pages.layout.environment import macros
from experiments.results.cells import Cells
from experiments.study.study import Study


class Drawn(NamedTuple):
    """The files of one run's figure, or why there are none."""

    run: str
    command: str
    svg: Path | None = None
    png: Path | None = None
    missing: str = ""

    def address(self, page: Path) -> str:
        """The way to the figure from the page."""
        return run_links.address(self.svg, page) if self.svg else ""


def of_runs(study: Study, name: str, page: Path) -> Markup:
    """The figure, below which stand its caption, the same of other runs, and why some do not have it.

    page: where the claims page will be, for its links.
    """
    figure, drawn = figures.get(name), [_draw(cells, name) for cells in study.cells]
    shown = [(each.run, each.address(page)) for each in drawn if each.svg]
    png = next((each.png for each in drawn if each.png), None)
    picture = pictures.reduced(png, f"{figure.TITLE}, {shown[0][0]}") if png else Markup()
    missing = [each for each in drawn if not each.svg]
    made: Markup = macros("claims").figures(picture, shown, missing, figure.CAPTION)
    return made


def _draw(cells: Cells, name: str) -> Drawn:
    run, command = cells.run.name, files.figure_command(cells, name)
    try:
        svg, png = files.write_figure(cells, name)
    except NotMeasurable as error:  # what this run or its text does not have
        return Drawn(run, command, missing=str(error))
    return Drawn(run, command, svg, png)
