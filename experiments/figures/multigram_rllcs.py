"""Learning coefficients measured on the data, beside those measured relative to the one-layer model's predictions."""

from concurrent.futures import Executor

import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.measurements import variants
from experiments.measurements.induction_heads import INDUCTION_HEADS
from experiments.measurements.variants import MAIN, RELATIVE
from experiments.plots import end_labels, style
from experiments.results.cells import Cells
from experiments.results.kind import Kind
from experiments.runs.run import tokens_seen

TITLE = "Relative to the one-layer model"
CAPTION = (
    "Weight-refined rLLC of each head measured with the next-token loss (left) and with the divergence from the "
    "one-layer model's predictions (right), over training, layer by layer; bars are 95% confidence intervals. Named "
    "at their end: the mean over the layer and heads of the induction circuit; grey: all others. Look for "
    "layer 0's curves on the right to peak and fall while layer 1's still rise."
)

NEEDS: tuple[Kind, ...] = (INDUCTION_HEADS,)  # kinds of cells; the rLLCs are computed, or read, by `prepare`


def prepare(cells: Cells, executor: Executor) -> None:
    """Samples what is missing."""

    variants.compute_ways(cells, (MAIN, RELATIVE), executor)


def compute(cells: Cells) -> xr.Dataset:
    """value, se, half_width [loss, step, restriction]: loss is "training" (next token) and "one-layer"."""
    tables = [variants.coefficients(cells, way) for way in (MAIN, RELATIVE)]
    training, relative = (table[["value", "se", "half_width"]] for table in tables)
    table = xr.concat([training.sel(step=relative.step), relative], "loss").assign_coords(loss=[MAIN, RELATIVE])
    return table.assign_coords(tokens=("step", tokens_seen(cells.run, table.step.values))).assign_attrs(
        cells.table(INDUCTION_HEADS).attrs, settings=cells.plan.of_settings
    )


def draw(data: xr.Dataset) -> Figure:
    figure = style.new_figure(10.5, 7.2)
    layers = sorted(set(data.layer.values.tolist()))
    axes = figure.subplots(len(layers), 2, squeeze=False)
    titles = {MAIN: "next-token loss", RELATIVE: "relative to the one-layer model"}
    for row, layer in zip(axes, layers, strict=True):
        part = data.isel(restriction=(data.layer == layer).values.nonzero()[0])
        for axis, (loss, title) in zip(row, titles.items(), strict=True):
            at = part.sel(loss=loss)
            named = style.named_by_role(at.restriction.values.tolist(), data.attrs)
            style.head_curves(axis, at.value, at.half_width, data.tokens.values, named)
            _mean(axis, at)
            style.token_axis(axis, data.tokens.values)
            axis.set_title(f"Layer {layer}, {title}", fontsize=style.FONT + 1)
            axis.set_ylabel(f"rLLC of the head ({data.attrs['settings']})", fontsize=style.FONT)
            end_labels.write(axis)
    return figure


def _mean(axis: Axes, at: xr.Dataset) -> None:
    """Heads share minibatches: the mean of their intervals bounds the interval of their mean."""
    mean, error = at.value.mean("restriction"), at.half_width.mean("restriction")
    axis.errorbar(at.tokens, mean, error, color="black", linewidth=2.6, marker="s", markersize=4, label="mean")
