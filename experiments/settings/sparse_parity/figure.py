"""The figure of sparse parity: tasks learned one after another, and the coefficient against their number."""

from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.plots import style
from experiments.settings.parts import Measured
from experiments.settings.sparse_parity.network import LEARNED

MARKERS = "o^s"


def draw(measured: Measured) -> Figure:
    figure = style.new_figure(11.0, 3.6)
    errors, training, final = figure.subplots(1, 3)
    trainings = [one for name, one in measured.items() if name.startswith("training")]
    _errors(errors, trainings[0])
    _training(training, trainings)
    _final(final, measured)
    for axis in (errors, training, final):
        style.tidy(axis)
    return figure


def _errors(axis: Axes, training: dict[str, Any]) -> None:
    step, *errors = np.array(training["curve"]).T
    for number, error in enumerate(errors):
        color = mpl.colormaps["viridis"](number / len(errors))
        axis.plot(step, error, color=color, linewidth=1.3, label=f"task {number + 1}")
    axis.axhline(LEARNED, color=style.QUIET, linewidth=1, linestyle="--")
    axis.set_xlabel("updates", fontsize=style.FONT)
    axis.set_ylabel("squared error of each task", fontsize=style.FONT)
    axis.legend(fontsize=style.FONT - 2, frameon=False, loc=(0.74, 0.2))


def _training(axis: Axes, trainings: list[dict[str, Any]]) -> None:
    for seed, one in enumerate(trainings):
        found = [one["at"][str(step)] for step in sorted(map(int, one["at"]))]
        learned = np.array([sum(error < LEARNED for error in at["errors"]) for at in found])
        look: dict[str, Any] = {"color": style.COLORS[seed], "marker": MARKERS[seed], "markersize": 4, "linewidth": 0.9}
        _points(axis, learned + 0.08 * (seed - 1), found, f"seed {seed}", look)
    axis.set_xlabel("tasks learned so far", fontsize=style.FONT)
    axis.set_ylabel("learning coefficient", fontsize=style.FONT)
    axis.set_title("during training", fontsize=style.FONT)
    axis.legend(fontsize=style.FONT - 1, frameon=False)


def _final(axis: Axes, measured: Measured) -> None:
    labels = {"tasks": "so many tasks", "names": "one task, so many names (control)"}
    for kind, (color, marker) in {"tasks": (style.COLORS[0], "o"), "names": (style.COLORS[1], "s")}.items():
        wanted = [name for name in measured if name.split()[0] == kind]
        number = np.array([int(name.split()[1]) for name in wanted], dtype=float)
        look: dict[str, Any] = {"color": color, "marker": marker, "markersize": 4, "linestyle": "none"}
        _points(axis, number, [measured[name] for name in wanted], labels[kind], look)
        curved = [measured[name]["laplace"] for name in wanted]
        axis.plot(number + 0.15, curved, marker, color=color, markersize=4, markerfacecolor="white")
    axis.plot([], [], "o", color="black", markersize=4, markerfacecolor="white", label="hollow: by the curvatures")
    axis.set_xlabel("tasks, or names of one task", fontsize=style.FONT)
    axis.set_ylabel("final learning coefficient", fontsize=style.FONT)
    axis.set_title("at the end of training", fontsize=style.FONT)
    axis.set_ylim(0, 200)
    axis.legend(fontsize=style.FONT - 1, frameon=False, loc="upper left")


def _points(axis: Axes, x: np.ndarray, found: list[dict[str, Any]], label: str, look: dict[str, Any]) -> None:
    value, low, high = (np.array([one["llc"][name] for one in found]) for name in ("value", "low", "high"))
    axis.errorbar(x, value, [value - low, high - value], label=label, elinewidth=0.8, **look)
