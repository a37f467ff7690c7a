"""The figure of in-context regression: losses, error by examples, paths in function space, and complexity."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.plots import style
from experiments.settings.in_context_regression import paths
from experiments.settings.in_context_regression.data import EXAMPLES, PRIOR_LOSS
from experiments.settings.parts import Measured

KINDS = {"new": ("new tasks", 0, "o"), "few": ("4 tasks", 1, "s"), "more": ("16 tasks", 2, "^")}
SHUFFLED = style.COLORS[3]


def draw(measured: Measured) -> Figure:
    figure = style.new_figure(9.5, 7.0)
    (losses, examples), (plane, coefficients) = figure.subplots(2, 2)
    _losses(losses, measured)
    _examples(examples, measured)
    _plane(plane, measured)
    _coefficients(coefficients, measured)
    for axis in (losses, examples, plane, coefficients):
        style.tidy(axis)
    return figure


def _of(measured: Measured, kind: str) -> list[dict[str, Any]]:
    return [one for name, one in measured.items() if name.split()[0] == kind]


def _losses(axis: Axes, measured: Measured) -> None:
    looks = {kind: (label, style.COLORS[number]) for kind, (label, number, _) in KINDS.items()}
    for kind, (label, color) in (looks | {"shuffled": ("labels shuffled (control)", SHUFFLED)}).items():
        for seed, one in enumerate(_of(measured, kind)):
            step, loss = np.array(one["curve"]).T[:2]
            axis.plot(step, loss, color=color, linewidth=1.2, label=None if seed else label)
    axis.axhline(PRIOR_LOSS, color="black", linewidth=1, linestyle=":")
    bayes = [np.mean(one["reference"]["new"]["ridge_by_example"]) for one in _of(measured, "new")]
    axis.axhline(float(np.mean(bayes)), color="black", linewidth=1, linestyle="--")
    axis.set_xlabel("updates", fontsize=style.FONT)
    axis.set_ylabel("squared error on new tasks", fontsize=style.FONT)
    axis.set_ylim(0.5, 3.1)
    axis.legend(fontsize=style.FONT - 1, frameon=False, loc="upper right", ncols=2)


def _examples(axis: Axes, measured: Measured) -> None:
    number = np.arange(EXAMPLES)
    for place, (kind, (label, color, marker)) in enumerate(KINDS.items()):
        found = np.array([one["by_example"] for one in _of(measured, kind)])
        middle = found.mean(0)
        spread = np.clip([middle - found.min(0), found.max(0) - middle], 0, None)
        look: dict[str, Any] = {"color": style.COLORS[color], "marker": marker, "markersize": 4, "elinewidth": 0.8}
        axis.errorbar(number + 0.1 * (place - 1), middle, spread, linewidth=0.9, label=label, **look)
    ridge = np.mean([one["reference"]["new"]["ridge_by_example"] for one in _of(measured, "new")], 0)
    axis.plot(number, ridge, color="black", linewidth=1, linestyle="--", label="ridge, exact")
    axis.set_xlabel("examples seen", fontsize=style.FONT)
    axis.set_ylabel("final squared error on new tasks\n(mean and range of three seeds)", fontsize=style.FONT)
    axis.set_ylim(0, None)
    axis.legend(fontsize=style.FONT - 1, frameon=False, loc="upper right")


def _plane(axis: Axes, measured: Measured) -> None:
    found = paths.plane({kind: measured[f"{kind} 0"] for kind in KINDS})
    for kind, (label, number, marker) in KINDS.items():
        look: dict[str, Any] = {"color": style.COLORS[number], "marker": marker, "markersize": 3, "linewidth": 0.9}
        axis.plot(*found.paths[kind].T, label=label, **look)
    stars: dict[str, Any] = {"marker": "*", "markersize": 13, "linestyle": "none", "markeredgecolor": "black"}
    axis.plot(*found.ridge, color="white", label="ridge", **stars)
    for kind in ("few", "more"):
        label, number, _ = KINDS[kind]
        axis.plot(*found.dmmse[kind], color=style.COLORS[number], label=f"dMMSE of {label}", **stars)
    axis.plot(*found.paths["new"][0], "x", color="black", markersize=7)
    first, second = (f"component {number} of predictions ({share:.0%})" for number, share in enumerate(found.shares, 1))
    axis.set_xlabel(first, fontsize=style.FONT)
    axis.set_ylabel(second, fontsize=style.FONT)
    low, high = axis.get_ylim()
    axis.set_ylim(low, high + 0.45 * (high - low))  # room for the legend
    axis.legend(fontsize=style.FONT - 1, frameon=False, loc="upper right", ncols=2)


def _coefficients(axis: Axes, measured: Measured) -> None:
    for place, (kind, (label, number, marker)) in enumerate(KINDS.items()):
        for seed, one in enumerate(_of(measured, kind)):
            steps = sorted(map(int, one["llc"]))
            at = np.arange(len(steps)) + 0.2 * (place - 1) + 0.05 * (seed - 1)
            value, low, high, curved = (
                np.array([one["llc"][str(step)][name] for step in steps])
                for name in ("value", "low", "high", "laplace")
            )
            look: dict[str, Any] = {"color": style.COLORS[number], "marker": marker, "markersize": 4}
            bars = [value - low, high - value]
            axis.errorbar(at, value, bars, linewidth=0.6, elinewidth=0.8, label=None if seed else label, **look)
            axis.plot(at, curved, linestyle="none", markerfacecolor="white", **look)
            axis.set_xticks(range(len(steps)), [str(step) for step in steps])
    axis.set_xlabel("updates", fontsize=style.FONT)
    axis.set_ylabel("learning coefficient", fontsize=style.FONT)
    axis.set_ylim(0, 32)
    axis.legend(fontsize=style.FONT - 1, frameon=False, loc="upper left", ncols=3)
