"""The figure of the setting deep-linear."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.plots import style
from experiments.settings.deep_linear import network
from experiments.settings.deep_linear.coefficients import NBETAS
from experiments.settings.parts import Measured
from llc.closed_form import deep_linear

STARTS = {"small": style.COLORS[0], "large": style.COLORS[1]}


def draw(measured: Measured) -> Figure:
    """Three panels; `setting.CAPTION` says what they show."""
    figure = style.new_figure(11.0, 3.6)
    losses, over, saddles = figure.subplots(1, 3)
    _losses(losses, measured["losses"])
    _over_training(over, measured["over training"])
    _saddles(saddles, [value for name, value in measured.items() if name.startswith("saddles")])
    for axis in (losses, over, saddles):
        style.tidy(axis)
        axis.xaxis.label.set_fontsize(style.FONT)
        axis.yaxis.label.set_fontsize(style.FONT)
    return figure


def _losses(axis: Axes, curves: dict[str, list[list[float]]]) -> None:
    for name, of_seeds in curves.items():
        for number, curve in enumerate(of_seeds):
            times = np.arange(len(curve)) * 2 * network.EVERY * network.RATE
            label = f"from a {name} start" if number == 0 else None
            axis.plot(times, np.maximum(curve, 1e-3), color=STARTS[name], lw=0.8, alpha=0.8, label=label)
    for rank in network.RANKS:
        axis.axhline(network.level(rank), color="black", ls="--", lw=0.7)
        axis.text(10.5, network.level(rank) * 1.08, f"rank {rank}", fontsize=style.FONT - 2)
    axis.set(yscale="log", ylim=(0.02, 400), xlabel="time (steps × rate)", ylabel="loss |BA − M|²")
    axis.legend(fontsize=style.FONT - 2, frameon=False, loc="upper right")


def _over_training(axis: Axes, found: dict[str, dict[str, list]]) -> None:
    for name, curve in found.items():
        values = np.array(curve["coefficient"])
        times = np.array(curve["steps"]) * network.RATE
        _bars(axis, times, values, STARTS[name], f"from a {name} start")
    for rank in (*network.RANKS, 3, 6):
        exact = deep_linear(network.WIDTHS, rank).value
        axis.axhline(exact, color=style.QUIET, ls=":", lw=0.9)
        axis.text(14.2, exact, f"rank {rank}", fontsize=style.FONT - 2, va="center")
    axis.set(xlabel="time (steps × rate)", ylabel="learning coefficient at nbeta 1,000", xlim=(-0.3, 14), ylim=(13, 19))
    axis.legend(fontsize=style.FONT - 2, frameon=False, loc="upper right", ncols=2, columnspacing=0.8, handlelength=1)


def _saddles(axis: Axes, of_seeds: Sequence[dict]) -> None:
    for rank in network.RANKS:
        color = style.COLORS[rank + 2]
        for number, one in enumerate(of_seeds):
            values = np.array(one[str(rank)]["exact"])
            _bars(axis, np.array(NBETAS) * 1.06**number, values, color, f"saddle of rank {rank}" if not number else "")
        axis.axhline(deep_linear(network.WIDTHS, rank).value, color=color, ls=":", lw=1.2)
    axis.set(xscale="log", xlabel="nbeta", ylabel="learning coefficient", ylim=(12.3, 16.9))
    axis.legend(fontsize=style.FONT - 2, frameon=False, loc="upper left", ncols=3, columnspacing=0.8, handlelength=1)


def _bars(axis: Axes, x: np.ndarray, values: np.ndarray, color: str, label: str) -> None:
    """Values [point, (value, low, high)] with their intervals."""
    sides = np.abs(values[:, 1:] - values[:, :1]).T
    axis.errorbar(x, values[:, 0], sides, color=color, lw=0.9, marker="o", ms=2.5, elinewidth=0.8, label=label)
