"""Faithfulness over circuit size, paths coming in by several scores: signed ones, and their magnitudes."""

import xarray as xr
from matplotlib.figure import Figure

from experiments.plots import style

TITLES = {
    "signed": ("by signed score", "cpr", "CPR"),
    "magnitude": ("by magnitude", "cmd", "CMD"),
}
MARKERS = ("o", "s", "^", "v", "D")


def draw(curves: xr.Dataset, title: str) -> Figure:
    """curves: `experiments.tasks.curves.measure`; sizes on a log axis, from one path to all."""
    figure = style.new_figure(10.5, 4.8)
    axes = figure.subplots(1, 2, sharey=True)
    sizes = curves["size"].values[1:]
    for axis, (name, (words, number, label)) in zip(axes, TITLES.items(), strict=True):
        for color, marker, order in zip(style.COLORS, MARKERS, curves.order.values.tolist(), strict=False):
            one = curves.sel(order=order)
            area = f"{order} ({label} {float(one[number]):.2f})"
            axis.plot(sizes, one[name].values[1:], color=color, marker=marker, markersize=4, lw=1.4, label=area)
        axis.axhline(1, color=style.QUIET, lw=0.8)
        axis.axhline(0, color=style.QUIET, lw=0.8)
        axis.set_xscale("log")
        axis.set_xticks([size for size in (1, 3, 10, 30, 100, 300, 1000) if size <= sizes[-1]])
        axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axis.xaxis.set_minor_formatter("")
        axis.set_xlabel(f"paths, {words}", fontsize=style.FONT)
        axis.set_ylim(
            min(-0.1, float(curves[name].min()) - 0.05), max(1.15, min(2.0, float(curves[name].max()) + 0.05))
        )
        axis.legend(fontsize=style.FONT - 1, frameon=False, ncol=2, loc="lower center", bbox_to_anchor=(0.5, 1.0))
        style.tidy(axis)
    axes[0].set_ylabel("faithfulness", fontsize=style.FONT)
    figure.suptitle(title, fontsize=style.FONT + 1)
    return figure
