"""Final learning coefficients against how many multigrams, and n-grams, a head has learned, at the end and earlier."""

from concurrent.futures import Executor

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from experiments.claims import memorisation
from experiments.figures.clustering import MARKERS
from experiments.heldout import head_types
from experiments.measurements import variants
from experiments.measurements.induction_heads import INDUCTION_HEADS
from experiments.measurements.variants import MAIN, middle_step
from experiments.plots import style
from experiments.results.cells import Cells
from experiments.results.kind import Kind
from experiments.study import final_heads
from experiments.study.study import Study, pass_of_types

TITLE = "Memorisation"
CAPTION = (
    "Final rLLC of each head (bars are 95% confidence intervals) against how many multigrams it has learned (rarefied "
    "to equally many completions) and how many n-grams, by the end and by mid-training. Multigram heads are filled, "
    "others open; markers are first labels. Lines are fitted to multigram heads, with one slope for both layers where "
    "these are pooled; rho is claim 3a's: rank correlation of multigram heads within the layer, p under permutation. "
    "Look whether multigram heads that have learned more end higher."
)
NEEDS: tuple[Kind, ...] = (INDUCTION_HEADS,)  # `prepare` computes, or reads, rLLCs, types and curvatures
COUNTS = {"rarefied": "multigrams learned\n(expected among 200 completions)", "n_grams": "n-grams learned"}
LAYER_COLORS = (style.COLORS[0], style.COLORS[1], style.COLORS[2], style.COLORS[3])
LEGEND_COLUMNS = 5  # more are wider than the figure


def prepare(cells: Cells, executor: Executor) -> None:
    """Samples and surveys what is missing."""

    variants.compute_ways(cells, (MAIN,), executor)
    for step in (middle_step(cells.run), cells.run.steps[-1]):
        head_types.compute(cells, pass_of_types(cells, step), executor)


def compute(cells: Cells) -> xr.Dataset:
    """`final_heads.heads` of the run [unit], with half_width (of the rLLC's 95% interval); rarefied and n_grams [when,
    unit] are at mid-training and the end.
    """
    study = Study((cells,))
    end = final_heads.heads(study, cells)
    last = study.rllc(cells).isel(step=-1).sel(restriction=end.name.values)
    end["half_width"] = ("unit", last.half_width.values)
    tables = [study.types(cells, middle_step(cells.run)), study.types(cells)]
    for count, values in (("rarefied", [t.rarefied for t in tables]), ("n_grams", [_n_grams(t) for t in tables])):
        end[count] = (("when", "unit"), np.stack([part.values.astype(float) for part in values]))
    steps = [middle_step(cells.run), cells.run.steps[-1]]
    return end.assign_coords(when=["mid-training", "the end"], step=("when", steps))


def draw(data: xr.Dataset) -> Figure:
    active = data.isel(unit=np.flatnonzero(data.type.values != "inactive"))
    layers = np.unique(active.layer.values).tolist()
    shown = [*([layer] for layer in layers), layers]
    panels = [(when, count) for count in COUNTS for when in reversed(data.when.values.tolist())]
    figure = style.new_figure(3.5 * len(shown), 2.75 * len(panels) + 0.5)
    axes = figure.subplots(len(panels), len(shown), squeeze=False)
    for row, (when, count) in zip(axes, panels, strict=True):
        at = active.sel(when=when)
        step = f"step {int(at.step)}"
        for axis, which in zip(row, shown, strict=True):
            part = at.isel(unit=np.flatnonzero(np.isin(at.layer.values, which)))
            _panel(axis, part, count)
            axis.set_xlabel(COUNTS[count], fontsize=style.FONT)
            title = "both layers" if len(which) > 1 else f"layer {which[0]}"
            axis.set_title(f"{title}, by {when} ({step})", fontsize=style.FONT + 1)
        row[0].set_ylabel("final rLLC of the head", fontsize=style.FONT)
    _legend(figure, active, layers)
    return figure


def _n_grams(table: xr.Dataset) -> xr.DataArray:
    return table.learned.sel(sort="n-gram")


def _panel(axis: Axes, part: xr.Dataset, count: str) -> None:
    known = part.isel(unit=np.flatnonzero(np.isfinite(part[count].values) & np.isfinite(part.rllc.values)))
    for place in range(known.sizes["unit"]):
        head = known.isel(unit=place)
        color, kind = LAYER_COLORS[int(head.layer) % len(LAYER_COLORS)], str(head.type.item())
        x, y = float(head[count]), float(head.rllc)
        face = color if "multigram" in str(head.labels.item()).split(", ") else "white"
        look: dict = {"marker": MARKERS[kind], "markerfacecolor": face, "markersize": 6, "elinewidth": 0.9}
        axis.errorbar(x, y, float(head.half_width), color=color, linestyle="none", **look)
    _lines(axis, memorisation.chosen(part, memorisation.A, count), count)
    axis.text(0.03, 0.97, _statistic(part, count), transform=axis.transAxes, va="top", fontsize=style.FONT - 1.5)
    low, high = axis.get_ylim()
    axis.set_ylim(min(0.0, low), high + 0.22 * (high - min(0.0, low)))  # room for the text
    axis.margins(x=0.08)
    style.tidy(axis)


def _lines(axis: Axes, heads: xr.Dataset, count: str) -> None:
    """Least squares with an intercept for each layer."""
    x, y, layer = (heads[name].values.astype(float) for name in (count, "rllc", "layer"))
    levels = {one: (x[layer == one].mean(), y[layer == one].mean()) for one in np.unique(layer)}
    inside = [np.array([value - levels[one][axis_] for value, one in zip(values, layer, strict=True)])
              for axis_, values in enumerate((x, y))]  # fmt: skip
    if len(x) - len(levels) < 2 or not inside[0].any():
        return
    slope = float(inside[0] @ inside[1] / (inside[0] @ inside[0]))
    for one, (middle, height) in levels.items():
        ends = np.array([x[layer == one].min(), x[layer == one].max()])
        axis.plot(ends, height + slope * (ends - middle), color=LAYER_COLORS[int(one) % len(LAYER_COLORS)], linewidth=1)


def _statistic(part: xr.Dataset, count: str) -> str:
    heads = memorisation.chosen(part, memorisation.A, count)
    test = memorisation.correlation(heads, memorisation.A.given, count)
    if test.reason:
        return f"{heads.sizes['unit']} multigram heads: too few, or too alike"
    return f"rho = {test.value:.2f}, p = {test.p:.2g} ({test.units} multigram heads)"


def _legend(figure: Figure, active: xr.Dataset, layers: list[int]) -> None:
    handles = [Line2D([], [], color=LAYER_COLORS[layer % 4], linewidth=3, label=f"layer {layer}") for layer in layers]
    for kind in [kind for kind in MARKERS if kind in active.type.values]:
        look: dict = {"marker": MARKERS[kind], "markerfacecolor": "white", "color": "black", "linestyle": "none"}
        handles.append(Line2D([], [], label=kind, **look))
    handles.append(Line2D([], [], label="a multigram head", marker="o", color="black", linestyle="none"))
    figure.legend(handles=handles, fontsize=style.FONT, frameon=False, ncol=LEGEND_COLUMNS, loc="outside lower center")
