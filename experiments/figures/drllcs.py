"""Learning coefficient of the whole model, refined by data: training text, code, prose, and a foreign corpus."""

from concurrent.futures import Executor
from dataclasses import replace

import xarray as xr
from matplotlib.figure import Figure

from experiments.measurements import variants
from experiments.measurements.full_llc import FULL_LLC
from experiments.measurements.variants import MAIN, texts
from experiments.plots import style
from experiments.results.cells import Cells
from experiments.results.kind import Kind
from experiments.runs.run import tokens_seen
from llc.intervals import with_half_widths

TITLE = "The whole model on other texts"
CAPTION = (
    "Data-refined LLC of the whole model (all parameters vary) over training: on its training text, on code and prose "
    "alone, and on C++, which it was not trained on; bars are 95% confidence intervals. Off its own text the "
    "checkpoint is no minimum, so values may be negative: read them as slopes of the loss under the posterior's "
    "noise."
)

NEEDS: tuple[Kind, ...] = ()


def prepare(cells: Cells, executor: Executor) -> None:
    """Samples what is missing."""

    variants.compute_full(cells, executor)


def compute(cells: Cells) -> xr.Dataset:
    """value, se and half_width (of the 95% interval) [data, step]."""
    plans = texts(cells)
    tables = [with_half_widths(replace(cells, plan=plan).table(FULL_LLC)) for plan in plans.values()]
    shown = [table[["value", "se", "half_width"]] for table in tables]
    table = xr.concat(shown, "data", join="outer").assign_coords(data=list(plans))
    tokens = tokens_seen(cells.run, table.step.values)
    return table.assign_coords(tokens=("step", tokens)).assign_attrs(settings=cells.plan.llc.name)


def draw(data: xr.Dataset) -> Figure:
    figure = style.new_figure(6.6, 4.2)
    axis = figure.subplots()
    for color, name in zip(style.COLORS, data.data.values.tolist(), strict=False):
        part, main = data.sel(data=name).dropna("step"), name == MAIN
        axis.errorbar(
            part.tokens,
            part.value,
            part.half_width,
            color=color,
            marker="o",
            markersize=3,
            linewidth=2.2 if main else 1.2,
            label="training text" if main else name,
        )
    axis.axhline(0, color=style.QUIET, linewidth=0.8)
    style.token_axis(axis, data.tokens.values)
    axis.set_ylabel(f"LLC of the whole model ({data.attrs['settings']} settings)", fontsize=style.FONT)
    axis.legend(fontsize=style.FONT - 1, frameon=False)
    return figure
