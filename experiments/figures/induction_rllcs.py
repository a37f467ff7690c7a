"""Learning coefficients of the heads on the training text and on code alone: do induction heads part from the rest?"""

from concurrent.futures import Executor

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from experiments.measurements import variants
from experiments.measurements.induction_heads import INDUCTION_HEADS
from experiments.measurements.variants import CODE, MAIN
from experiments.plots import end_labels, style
from experiments.results.cells import Cells
from experiments.results.kind import Kind
from experiments.runs.run import tokens_seen

TITLE = "On the training text and on code"
CAPTION = (
    "Weight-refined rLLC of the heads of the last layer on the training text (left), data-refined to code (middle), "
    "and the ratio of the two (right), over training; bars are 95% confidence intervals. Induction heads are named. "
    "Look whether their ratios rise above the others' and part from each other. Code is a part of this model's "
    "training text."
)

NEEDS: tuple[Kind, ...] = (INDUCTION_HEADS,)  # kinds of cells; the rLLCs are computed, or read, by `prepare`


def prepare(cells: Cells, executor: Executor) -> None:
    """Samples what is missing."""

    variants.compute_ways(cells, (MAIN, CODE), executor)


def compute(cells: Cells) -> xr.Dataset:
    """value, se, half_width [data, step, restriction] of the last layer: data is "training", "code", their "ratio"."""
    tables = [variants.coefficients(cells, way) for way in (MAIN, CODE)]
    training, code = (table[["value", "se", "half_width"]] for table in tables)
    training = training.sel(step=code.step)
    ratio = xr.Dataset({"value": code.value / training.value})
    for error in ("se", "half_width"):
        ratio[error] = abs(ratio.value) * np.hypot(code[error] / code.value, training[error] / training.value)
    table = xr.concat([training, code, ratio], "data").assign_coords(data=["training", "code", "ratio"])
    last = table.isel(restriction=(table.layer == table.layer.max()).values.nonzero()[0])
    return last.assign_coords(tokens=("step", tokens_seen(cells.run, last.step.values))).assign_attrs(
        cells.table(INDUCTION_HEADS).attrs, settings=cells.plan.of_settings
    )


def draw(data: xr.Dataset) -> Figure:
    figure = style.new_figure(14.5, 3.9)
    titles = {"training": "On the training text", "code": "On code", "ratio": "Code over training text"}
    for axis, (name, title) in zip(figure.subplots(1, 3), titles.items(), strict=True):
        part = data.sel(data=name)
        shown = part if name != "ratio" else part.isel(step=(part.tokens > 0).values.nonzero()[0])
        named = style.named_by_role(shown.restriction.values.tolist(), data.attrs)
        style.head_curves(axis, shown.value, shown.half_width, shown.tokens.values, named)
        style.token_axis(axis, data.tokens.values)
        axis.set_title(f"{title}, layer {int(data.layer[0])}", fontsize=style.FONT + 1)
        unit = "ratio of rLLCs" if name == "ratio" else f"rLLC of the head ({data.attrs['settings']})"
        axis.set_ylabel(unit, fontsize=style.FONT)
        if name == "ratio":
            axis.axhline(1, color=style.QUIET, linewidth=0.8)
        else:
            axis.set_ylim(bottom=0)
        end_labels.write(axis)
    return figure
