"""A figure of every run of a study, for the claims page: the first run's is open, those of the others are folded."""

from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from ablations.not_measurable import NotMeasurable
from experiments import figures
from experiments.figures import files
from experiments.pages.layout import pictures
from experiments.pages.layout.environment import macros
from experiments.results.cells import Cells
from experiments.study.study import Study


class Drawn(NamedTuple):
    """The figure of one run, or why it is not drawn."""

    run: str
    picture: Markup
    missing: str  # why, where there is no picture
    command: str


def of_runs(study: Study, name: str) -> Markup:
    """The figure of each run below one caption; a run that cannot have it says why, and how to make it."""
    return _shown([_draw(cells, name) for cells in study.cells], figures.get(name).CAPTION)


def _shown(drawn: Sequence[Drawn], caption: str) -> Markup:
    made: Markup = macros("claims").figures(drawn, caption)
    return made


def _draw(cells: Cells, name: str) -> Drawn:
    run, command = cells.run.name, files.figure_command(cells, name)
    try:
        svg, png = files.write_figure(cells, name)
    except NotMeasurable as error:  # what this run or its text does not have
        return Drawn(run, Markup(), str(error), command)
    return Drawn(run, pictures.smaller(svg, png, f"{figures.get(name).TITLE}, {run}"), "", command)
