"""Composition of every pair of heads through queries, keys and values, above random matrices."""

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from experiments.measurements.composition import COMPOSITION
from experiments.measurements.induction_heads import INDUCTION_HEADS
from experiments.plots import style
from experiments.results.cells import Cells
from experiments.results.kind import Kind
from experiments.runs.run import tokens_seen
from experiments.statistics.intervals import TWO_SIDED

TITLE = "Composition"
CAPTION = (
    "Composition scores minus those of random matrices of the same shapes. Top: every pair of heads at the end of "
    "training. Bottom: over training, previous-token to induction pairs in colour, all other pairs in grey; the band "
    "is 95% of random matrices. Look for keys: induction heads read, as keys, what previous-token heads write. A "
    "weight score, not a causal one: the paths figure cuts."
)

NEEDS: tuple[Kind, ...] = (COMPOSITION, INDUCTION_HEADS)  # kinds of cells


def compute(cells: Cells) -> xr.Dataset:
    """above_baseline [step, source, target, via] and baseline_sd [step]."""
    table = cells.table(COMPOSITION)
    data = xr.Dataset({"above_baseline": table.composition - table.baseline, "baseline_sd": table.baseline_sd})
    return data.assign_coords(tokens=("step", tokens_seen(cells.run, data.step.values))).assign_attrs(
        cells.table(INDUCTION_HEADS).attrs
    )


def draw(data: xr.Dataset) -> Figure:
    sources, targets = style.between_layers(data)
    scores = data.above_baseline.sel(source=sources, target=targets)
    figure = style.new_figure(11.5, 6.8)
    axes = figure.subplots(2, 3, height_ratios=(1.25, 1))
    limit = float(np.nanmax(np.abs(scores.isel(step=-1))))
    circuit = [(s, t) for s in data.attrs["previous"].split("+") for t in data.attrs["induction"].split("+")]
    for top, bottom, via in zip(axes[0], axes[1], data.via.values.tolist(), strict=True):
        image = style.pair_heatmap(top, scores.isel(step=-1).sel(via=via).values, sources, targets, limit)
        top.set_title(f"{style.VIA_NAMES[via]}, end of training", fontsize=style.FONT + 1)
        tokens, band = data.tokens.values, TWO_SIDED * data.baseline_sd.values
        curves = scores.sel(via=via).values.reshape(len(tokens), -1)
        bottom.plot(tokens, curves, color=style.QUIET, linewidth=0.6, alpha=0.7)
        bottom.fill_between(tokens, -band, band, color=style.QUIET, alpha=0.4, linewidth=0)
        for color, (source, target) in zip(style.COLORS, circuit, strict=False):
            curve = scores.sel(via=via, source=source, target=target)
            bottom.plot(
                tokens, curve, color=color, linewidth=2, marker="o", markersize=3, label=f"{source} to {target}"
            )
        style.token_axis(bottom, tokens)
        bottom.set_ylabel("composition minus random", fontsize=style.FONT)
        bottom.set_ylim(float(np.nanmin(scores)) * 1.1, float(np.nanmax(scores)) * 1.1)
    axes[1, 0].legend(fontsize=style.FONT - 2, frameon=False, loc="upper left")
    axes[0, 0].set_ylabel("writes (source head)", fontsize=style.FONT)
    axes[0, 1].set_xlabel("reads (target head)", fontsize=style.FONT)
    figure.colorbar(image, ax=axes[0].tolist(), label="composition minus random", shrink=0.8)
    return figure
