"""The figure of the setting superposition."""

import math
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.plots import style
from experiments.settings.parts import Measured
from experiments.settings.superposition import laws, phases
from experiments.settings.superposition.critical import POINTS

COLORS = {point.name: color for point, color in zip(POINTS, style.COLORS, strict=False)}


def draw(measured: Measured) -> Figure:
    """Four panels; `setting.CAPTION` says what they show."""
    figure = style.new_figure(10.0, 7.2)
    (losses, moves), (points, shares) = figure.subplots(2, 2)
    _losses(losses, measured["training"])
    _moves(moves, measured["training"])
    _points(points, measured["coefficients"])
    _shares(shares, measured["posterior"])
    for axis in (losses, moves, points, shares):
        style.tidy(axis)
        axis.xaxis.label.set_fontsize(style.FONT)
        axis.yaxis.label.set_fontsize(style.FONT)
    return figure


def _losses(axis: Axes, training: dict[str, Any]) -> None:
    for curve in training["loss"]:
        axis.plot(training["steps"][1:], curve[1:], color=style.COLORS[0], lw=0.5, alpha=0.5)
    for point in POINTS:
        axis.axhline(point.loss, color="black", ls="--", lw=0.6)
        axis.text(
            1.01, point.loss, point.name, fontsize=style.FONT - 2, va="center", transform=axis.get_yaxis_transform()
        )
    axis.set(xscale="log", ylim=(0.045, 0.12), xlabel="SGD step", ylabel="loss (mean squared error)")


def _moves(axis: Axes, training: dict[str, Any]) -> None:
    """Plateaus by loss and coefficient; transitions as lines."""
    for one in training["plateaus"]:
        nearest = min(POINTS, key=lambda point: abs(math.log(point.loss / one["loss"])))
        value, low, high, _ = one["coefficient"]
        axis.errorbar(
            one["loss"], value, [[value - low], [high - value]], color=COLORS[nearest.name],
            marker="o", ms=2.5, lw=0.7, ls="",
        )  # fmt: skip
    both = list(zip(training["plateaus"], laws.plateaus(training), strict=True))
    for (one, here), (other, there) in pairwise(both):
        if here.seed == there.seed and here.nearest != there.nearest:
            ends = ([one["loss"], other["loss"]], [here.coefficient, there.coefficient])
            axis.plot(*ends, color="black", lw=0.5, alpha=0.6)
    for point in POINTS:
        axis.axvline(point.loss, color=COLORS[point.name], ls=":", lw=0.8)
        axis.text(point.loss, 7.05, point.name, fontsize=style.FONT - 2, ha="center")
    axis.set(xlabel="loss of the plateau", ylabel="learning coefficient at nbeta 3,000", ylim=(0, 7))
    axis.invert_xaxis()


def _points(axis: Axes, found: dict[str, dict[str, list[float]]]) -> None:
    for number, point in enumerate(POINTS):
        nbetas = [float(nbeta) for nbeta in found[point.name]]
        values = np.array(list(found[point.name].values()))[:, :3]
        sides = np.abs(values[:, 1:] - values[:, :1]).T
        look: dict[str, Any] = {"color": COLORS[point.name], "marker": "o", "ms": 3, "lw": 0.8}
        axis.errorbar(np.array(nbetas) * 1.09**number, values[:, 0], sides, label=f"{point.name}-gon", **look)
        axis.plot([8e5 * 1.25**number], [point.coefficient], color=COLORS[point.name], marker="_", ms=9, mew=2)
    axis.text(9e5, 9.1, "theory", fontsize=style.FONT - 2)
    axis.set(xscale="log", xlabel="nbeta", ylabel="learning coefficient", ylim=(3, 11.5))
    axis.legend(fontsize=style.FONT - 2, frameon=False, loc="upper left", ncols=2, columnspacing=0.8)


def _shares(axis: Axes, posterior: dict[str, Any]) -> None:
    ns, shares = np.array(posterior["n"][1:]), np.array(posterior["shares"])[1:]  # [n, replica, features]
    for number, count in enumerate((3, 4, 5, 6)):
        own = shares[:, :, count]
        spread = 2.36 * own.std(1, ddof=1) / math.sqrt(own.shape[1])  # Student's quantile with 7 degrees of freedom
        look: dict[str, Any] = {"color": style.COLORS[number], "marker": "o", "ms": 2.5, "lw": 0.9, "elinewidth": 0.8}
        axis.errorbar(ns, own.mean(1), spread, label=f"{count} represented", **look)
    for n, name, line in (
        (phases.crossing(), "Laplace", ":"),
        (phases.crossing_of_the_paper(), "leading order (the paper's)", "--"),
    ):
        axis.axvline(n, color="black", ls=line, lw=0.9, label=f"5 = 6, {name}")
    axis.set(xscale="log", xlabel="n", ylabel="share of the posterior", ylim=(0, 1.45), xlim=(8, 3300))
    axis.set_yticks([0, 0.25, 0.5, 0.75, 1])
    axis.legend(fontsize=style.FONT - 2, frameon=False, loc="upper left", ncols=1)
