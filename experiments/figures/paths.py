"""What cutting paths between heads costs the copy gain: each single path, and sets of heads into induction heads."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.measurements.induction_heads import INDUCTION_HEADS
from experiments.measurements.paths import PATHS
from experiments.measurements.scores import SCORES
from experiments.plots import style
from experiments.results.cells import Cells
from experiments.results.kind import Kind
from experiments.runs.run import tokens_seen
from experiments.statistics.intervals import margin

TITLE = "Cut paths"
CAPTION = (
    "What exact path cuts (mean ablation, layer norm recomputed) remove of the copy gain. Top: every single path at "
    "the end of training, on repeated random tokens. Bottom left and middle: every set of as many heads as there are "
    "previous-token heads, cut from all induction heads at once; the filled marker is the set of previous-token "
    "heads, bars are 95% confidence intervals. Bottom right: the circuit's strongest path over training, and the same "
    "pair through its other inputs. Look for keys from the previous-token heads removing more than any other cut."
)

NEEDS: tuple[Kind, ...] = (PATHS, SCORES, INDUCTION_HEADS)  # kinds of cells


def compute(cells: Cells) -> xr.Dataset:
    """effect [step, source, target, via], removed [data, sources, via], with their _se and _degrees."""
    circuit = cells.table(INDUCTION_HEADS).isel(step=0, drop=True)
    gain = cells.table(SCORES).copy_gain.isel(step=-1, drop=True)
    data = xr.merge(
        [cells.table(PATHS), circuit[["removed", "removed_se", "removed_degrees"]], gain], combine_attrs="drop"
    )
    return data.assign_coords(tokens=("step", tokens_seen(cells.run, data.step.values))).assign_attrs(circuit.attrs)


def draw(data: xr.Dataset) -> Figure:
    sources, targets = style.between_layers(data)
    last = data.isel(step=-1).sel(source=sources, target=targets)
    figure = style.new_figure(11.5, 7.2)
    axes = figure.subplots(2, 3, height_ratios=(1.15, 1))
    limit = float(np.nanmax(np.abs(last.effect)))
    for axis, via in zip(axes[0], data.via.values.tolist(), strict=True):
        image = style.pair_heatmap(axis, last.effect.sel(via=via).values, sources, targets, limit)
        axis.set_title(f"path through {style.VIA_NAMES[via]}", fontsize=style.FONT + 1)
    axes[0, 0].set_ylabel("from (source head)", fontsize=style.FONT)
    axes[0, 1].set_xlabel("into (target head)", fontsize=style.FONT)
    figure.colorbar(image, ax=axes[0].tolist(), label="copy gain removed (nats per token)", shrink=0.8)
    for axis, text in zip(axes[1, :2], ("random", "text"), strict=True):
        _draw_sets(axis, data, text)
    _draw_over_training(axes[1, 2], data)
    return figure


def _draw_sets(axis: Axes, data: xr.Dataset, text: str) -> None:
    """All sets of each via, by what they remove; the claimed one filled."""
    at = data.sel(data=text)
    start = 0
    for via in data.via.values.tolist():
        order = at.sources.values[np.argsort(-at.removed.sel(via=via).values)]
        ranked = at.sel(via=via, sources=order)
        place = np.arange(len(order)) + start
        start = place[-1] + 4
        color = style.VIA_COLORS[via]
        bars = margin(ranked, "removed")
        axis.errorbar(place, ranked.removed, bars, fmt="o", mfc="white", color=color, markersize=3.5, elinewidth=0.8)
        claimed = int(np.flatnonzero(order == data.attrs["previous"])[0])
        axis.errorbar(
            place[claimed],
            ranked.removed[claimed],
            bars[claimed],
            fmt="o",
            color=color,
            markersize=8,
            label=style.VIA_NAMES[via],
        )
    axis.axhline(0, color=style.QUIET, linewidth=0.8)
    axis.set_xticks([])
    axis.set_xlabel(f"sets of heads, sorted; filled: {data.attrs['previous']}", fontsize=style.FONT)
    axis.set_ylabel("copy gain removed (nats per token)", fontsize=style.FONT)
    axis.set_title(f"{style.TEXT_NAMES[text]} (gain {float(at.copy_gain):.2f})", fontsize=style.FONT + 1)
    axis.legend(fontsize=style.FONT - 1, frameon=False, loc="upper right")
    style.tidy(axis)


def _draw_over_training(axis: Axes, data: xr.Dataset) -> None:
    """The circuit's strongest path at the end of training, and the same pair through the other inputs."""
    circuit = data.sel(source=data.attrs["previous"].split("+"), target=data.attrs["induction"].split("+"))
    source, target = circuit.effect.isel(step=-1).sel(via="k").to_series().idxmax()
    for via in data.via.values.tolist():
        path = circuit.sel(source=source, target=target, via=via)
        bars, color = margin(path, "effect"), style.VIA_COLORS[via]
        axis.errorbar(data.tokens, path.effect, bars, color=color, marker="o", markersize=3, label=style.VIA_NAMES[via])
    axis.axhline(0, color=style.QUIET, linewidth=0.8)
    axis.set_title(f"{source} into {target}, alone", fontsize=style.FONT + 1)
    axis.set_ylabel("copy gain removed (nats per token)", fontsize=style.FONT)
    axis.legend(fontsize=style.FONT - 1, frameon=False, loc="upper left")
    style.token_axis(axis, data.tokens.values)
