"""Weight-refined learning coefficient of every head over training."""

import xarray as xr
from matplotlib.figure import Figure

from experiments.measurements.induction_heads import INDUCTION_HEADS
from experiments.measurements.rllc import RLLC
from experiments.plots import end_labels, style
from experiments.results.cells import Cells
from experiments.results.kind import Kind
from experiments.runs.run import tokens_seen
from llc.intervals import with_half_widths

TITLE = "Learning coefficients of the heads"
CAPTION = (
    "Weight-refined learning coefficient (rLLC) of each head over training, one panel a layer; bars are 95% "
    "confidence intervals. In colour and named at their end: heads of the induction circuit; grey: all others. Look "
    "for heads whose curves part: they come to do different things. Compare heads within a layer only."
)

NEEDS: tuple[Kind, ...] = (RLLC, INDUCTION_HEADS)  # kinds of cells


def compute(cells: Cells) -> xr.Dataset:
    """value, se and half_width (of the 95% interval) [step, restriction], with the circuit's heads in attrs."""
    rllc = with_half_widths(cells.table(RLLC))[["value", "se", "half_width"]]
    return rllc.assign_coords(tokens=("step", tokens_seen(cells.run, rllc.step.values))).assign_attrs(
        cells.table(INDUCTION_HEADS).attrs, settings=cells.plan.of_settings, reference=cells.plan.reference
    )


def draw(data: xr.Dataset) -> Figure:
    layers = sorted(set(data.layer.values.tolist()))
    figure = style.new_figure(5.4 * len(layers), 3.8)
    for axis, layer in zip(figure.subplots(1, len(layers), squeeze=False)[0], layers, strict=True):
        part = data.isel(restriction=(data.layer.values == layer).nonzero()[0])
        named = style.named_by_role(part.restriction.values.tolist(), data.attrs)
        style.head_curves(axis, part.value, part.half_width, data.tokens.values, named)
        style.token_axis(axis, data.tokens.values)
        axis.set_ylim(bottom=min(0.0, float((part.value - part.half_width).min())))
        axis.set_title(f"Layer {layer}", fontsize=style.FONT + 1)
        against = ", against the one-layer model" if data.attrs["reference"] else ""
        axis.set_ylabel(f"rLLC of the head ({data.attrs['settings']}{against})", fontsize=style.FONT)
        end_labels.write(axis)
    return figure
