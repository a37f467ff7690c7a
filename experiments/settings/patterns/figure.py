"""The figure of patterns counted."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from experiments.plots import style
from experiments.settings.parts import Measured

KINDS = {"patterns": (style.COLORS[0], "o", "patterns"), "shuffled": (style.COLORS[1], "s", "shuffled words (control)")}


def draw(measured: Measured) -> Figure:
    figure = style.new_figure(5.5, 3.8)
    axis = figure.subplots()
    for kind, (color, marker, label) in KINDS.items():
        names = [name for name in measured if name.split()[0] == kind]
        found: list[dict[str, Any]] = [measured[name]["llc"] for name in names]
        number = np.array([float(name.split()[1]) + 4 * (int(name.split()[2]) - 0.5) for name in names])
        value, low, high = (np.array([one[end] for one in found]) for end in ("value", "low", "high"))
        bars = [value - low, high - value]
        axis.errorbar(number, value, bars, color=color, marker=marker, markersize=4, linestyle="none", label=label)
        slope, start = np.polyfit(number, value, 1)
        ends = np.array([0.0, number.max()])
        axis.plot(ends, start + slope * ends, color=color, linewidth=1)
    axis.set_xlabel("patterns in the text", fontsize=style.FONT)
    axis.set_ylabel("learning coefficient of the whole model", fontsize=style.FONT)
    axis.set_ylim(bottom=0)
    axis.legend(fontsize=style.FONT - 1, frameon=False)
    style.tidy(axis)
    return figure
