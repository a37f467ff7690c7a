"""Figures and their tables as files of a results folder, and the command that makes a figure again."""

from pathlib import Path

import xarray as xr
from matplotlib.figure import Figure

from experiments import figures
from experiments.plots import render, style
from experiments.results.cells import Cells
from experiments.results.file_names import flags, variant
from experiments.statistics.intervals import caution
from experiments.storage.files import write_bytes


def write_figure(cells: Cells, name: str) -> list[Path]:
    """Computes and draws one of the paper's figures; returns its SVG and its PNG file.

    Below it stands a word of caution where its intervals rest on few documents.

    The name ends with what in the plan is no default (`file_names.variant`).
    """
    module = figures.get(name)
    data = module.compute(cells)
    figure = module.draw(data)
    if word := caution(data):
        style.footnote(figure, word)
    return write_drawn(cells, name + variant(cells.run, cells.plan), figure)


def write_drawn(cells: Cells, name: str, figure: Figure) -> list[Path]:
    """Writes a drawn figure as figures/NAME.svg and figures/NAME.png; returns both paths in this order."""
    folder = cells.folder / "figures"
    write_bytes(folder / f"{name}.svg", render.image_file(figure, "svg"))
    write_bytes(folder / f"{name}.png", render.image_file(figure, "png"))
    return [folder / f"{name}.svg", folder / f"{name}.png"]


def write_table_and_figure(cells: Cells, name: str, dataset: xr.Dataset, figure: Figure) -> list[Path]:
    """Writes a dataset as tables/NAME.csv and its figure as `write_drawn` does; returns all three paths.

    The name ends with what in the plan is no default (`file_names.variant`).
    """
    name += variant(cells.run, cells.plan)
    table = cells.folder / "tables" / f"{name}.csv"
    write_bytes(table, dataset.to_dataframe().reset_index().to_csv(index=False).encode())
    return [table, *write_drawn(cells, name, figure)]


def figure_command(cells: Cells, name: str) -> str:
    """The command line that makes the figure of this run again."""
    return f"devcircuits figure {name} {flags(cells.run, cells.plan)}"
