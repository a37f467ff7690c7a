"""Weight-refined learning coefficient of every head over training."""

from pathlib import Path

import xarray as xr
from matplotlib.figure import Figure

from experiments.measurements.plan import Plan
from experiments.plots import style
from experiments.results.cells import Cells, tokens_seen
from experiments.runs.run import Run

TITLE = "Learning coefficients of the heads"
CAPTION = (
    "Weight-refined learning coefficient (rLLC) of each head over training, one panel a layer; bars are 95% intervals. "
    "Look for heads whose curves part: they come to do different things. Compare heads within a layer only."
)

NEEDS = ("rllc", "circuit")  # kinds of cells


def compute(run: Run, results: Path, settings: Plan) -> xr.Dataset:
    """value and se [step, restriction], with the circuit's heads in attrs."""
    cells = Cells(results, run, settings, committed=True)
    rllc = cells.table("rllc")[["value", "se"]]
    return rllc.assign_coords(tokens=("step", tokens_seen(run, rllc.step.values))).assign_attrs(
        cells.table("circuit").attrs, settings=settings.llc.name, reference=settings.reference
    )


def draw(data: xr.Dataset) -> Figure:
    layers = sorted(set(data.layer.values.tolist()))
    figure = style.new_figure(4.6 * len(layers), 3.8)
    for axis, layer in zip(figure.subplots(1, len(layers), squeeze=False)[0], layers, strict=True):
        part = data.isel(restriction=(data.layer.values == layer).nonzero()[0])
        style.head_curves(axis, part.value, part.se, data.tokens.values, data.attrs)
        style.token_axis(axis, data.tokens.values)
        axis.set_ylim(bottom=min(0.0, float((part.value - 2 * part.se).min())))
        axis.set_title(f"Layer {layer}", fontsize=style.FONT + 1)
        against = ", against the one-layer model" if data.attrs["reference"] else ""
        axis.set_ylabel(f"rLLC of the head ({data.attrs['settings']} settings{against})", fontsize=style.FONT)
    return figure
