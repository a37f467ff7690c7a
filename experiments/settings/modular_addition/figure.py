"""The figure of modular addition: training, growth with the modulus, and agreement with the curvatures."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.plots import style
from experiments.settings import slopes
from experiments.settings.parts import Measured

SUM, RANDOM, HELD_OUT = style.COLORS[0], style.COLORS[1], style.COLORS[2]
NAMES = {"sum": "(a + b) mod p", "random": "random labels (control)"}


def draw(measured: Measured) -> Figure:
    figure = style.new_figure(11.0, 4.2)
    panels = figure.subplot_mosaic([["accuracy", "growth", "laplace"], ["llc", "growth", "laplace"]])
    networks = {kind: _final(measured, kind) for kind in NAMES}
    _accuracy(panels["accuracy"], measured)
    _coefficient(panels["llc"], measured)
    _growth(panels["growth"], networks)
    _laplace(panels["laplace"], networks)
    panels["llc"].set_xlim(panels["accuracy"].get_xlim())
    for panel in panels.values():
        style.tidy(panel)
    return figure


def _final(measured: Measured, kind: str) -> list[tuple[int, dict[str, Any]]]:
    return [(int(name.split()[1]), one) for name, one in measured.items() if name.split()[0] == kind]


def _trainings(measured: Measured) -> list[dict[str, Any]]:
    return [one for name, one in measured.items() if name.startswith("training")]


def _accuracy(axis: Axes, measured: Measured) -> None:
    for number, one in enumerate(_trainings(measured)):
        step, _, trained, _, held_out = np.array(one["curve"]).T
        labels = ("pairs trained on", "held-out pairs") if number == 0 else (None, None)
        axis.plot(step, trained, color=SUM, linewidth=1.2, label=labels[0])
        axis.plot(step, held_out, color=HELD_OUT, linewidth=1.2, linestyle="--", label=labels[1])
    axis.set_ylabel("accuracy", fontsize=style.FONT)
    axis.set_title("p = 23, three seeds", fontsize=style.FONT)
    axis.set_xticklabels([])
    axis.legend(fontsize=style.FONT - 1, frameon=False, loc="lower right")


def _coefficient(axis: Axes, measured: Measured) -> None:
    for number, one in enumerate(_trainings(measured)):
        steps = sorted(map(int, one["llc"]))
        value, low, high = (np.array([one["llc"][str(s)][end] for s in steps]) for end in ("value", "low", "high"))
        axis.errorbar(
            steps,
            value,
            [value - low, high - value],
            color="black",
            marker="o^s"[number],
            markersize=3.5,
            linewidth=0.9,
        )
    axis.set_ylabel("learning coefficient", fontsize=style.FONT)
    axis.set_xlabel("updates", fontsize=style.FONT)
    axis.set_ylim(bottom=0)


def _growth(axis: Axes, networks: dict[str, list[tuple[int, dict[str, Any]]]]) -> None:
    for kind, color, marker in (("sum", SUM, "o"), ("random", RANDOM, "s")):
        modulus = np.array([p for p, _ in networks[kind]], dtype=float)
        value, low, high = (np.array([one["llc"][n] for _, one in networks[kind]]) for n in ("value", "low", "high"))
        power, least, most = slopes.exponent(modulus, value)
        label = f"{NAMES[kind]}:\nexponent {power:.2f} [{least:.2f}, {most:.2f}]"
        bars = [value - low, high - value]
        axis.errorbar(modulus, value, bars, color=color, marker=marker, markersize=4, linestyle="none", label=label)
        line = np.array([modulus.min(), modulus.max()])
        center = np.exp(np.log(value).mean()) * (line / np.exp(np.log(modulus).mean())) ** power
        axis.plot(line, center, color=color, linewidth=1)
    axis.set_xscale("log")
    axis.set_yscale("log")
    ticks = sorted({p for each in networks.values() for p, _ in each})
    axis.set_xticks(ticks, [str(tick) for tick in ticks])
    axis.set_xticks([], minor=True)
    axis.set_yticks([100, 200, 300, 400, 600], ["100", "200", "300", "400", "600"])
    axis.set_yticks([], minor=True)
    axis.set_ylim(90, 1200)
    axis.set_xlabel("modulus p", fontsize=style.FONT)
    axis.set_ylabel("final learning coefficient", fontsize=style.FONT)
    axis.legend(fontsize=style.FONT - 1, frameon=False, loc="upper left")


def _laplace(axis: Axes, networks: dict[str, list[tuple[int, dict[str, Any]]]]) -> None:
    top = 0.0
    for kind, color, marker in (("sum", SUM, "o"), ("random", RANDOM, "s")):
        known = [one for _, one in networks[kind] if "laplace" in one]
        exact = np.array([one["laplace"] for one in known])
        value, low, high = (np.array([one["llc"][n] for one in known]) for n in ("value", "low", "high"))
        bars = [value - low, high - value]
        axis.errorbar(exact, value, bars, color=color, marker=marker, markersize=4, linestyle="none", label=NAMES[kind])
        top = max(top, float(exact.max()) * 1.1)
    axis.plot([0, top], [0, top], color=style.QUIET, linewidth=1, zorder=0, label="equal")
    axis.set_xlabel("Laplace's value at the same nbeta", fontsize=style.FONT)
    axis.set_ylabel("sampled learning coefficient", fontsize=style.FONT)
    axis.legend(fontsize=style.FONT - 1, frameon=False, loc="upper left")
