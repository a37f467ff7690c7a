"""One look for all figures: colour-blind-safe colours (Okabe and Ito), roles of heads, a log axis of tokens."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
VIA_COLORS = {"q": "#E69F00", "k": "#0072B2", "v": "#009E73"}
VIA_NAMES = {"q": "queries (Q)", "k": "keys (K)", "v": "values (V)"}
TEXT_NAMES = {"random": "repeated random tokens", "text": "repeated held-out text"}
DARK = ("#0072B2", "#D55E00", "#009E73", "#000000")  # those that stand out from grey when printed without colour
MARKERS = ("o", "s", "^", "D", "v")
QUIET = "#B8B8B8"

FONT = 9.0
LETTERS = 16  # of a footnote, that fit an inch


def new_figure(width: float, height: float) -> Figure:
    """A figure (inches) whose parts do not overlap; it is returned, never shown."""
    return Figure(figsize=(width, height), layout="constrained")


def footnote(figure: Figure, text: str) -> None:
    """A remark below all parts of a figure, in lines as long as the figure is wide."""
    lines = textwrap.wrap(text, int(figure.get_figwidth() * LETTERS))
    figure.supxlabel("\n".join(lines), x=0.01, ha="left", fontsize=FONT - 1)


def token_axis(axis: Axes, tokens: np.ndarray) -> None:
    """Tokens seen, in millions, on a log axis that holds zero."""
    positive = tokens[tokens > 0]
    threshold = float(positive.min()) if len(positive) else 1.0
    axis.set_xscale("symlog", linthresh=threshold, linscale=0.4)
    ticks = [0.0, *[t for t in (0.01, 0.1, 1, 10, 100, 1000) if threshold <= t <= tokens.max()]]
    axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.set_xticks([], minor=True)
    axis.set_xlim(-0.1 * threshold, tokens.max() * 1.15)
    axis.set_xlabel("training tokens (millions)", fontsize=FONT)
    tidy(axis)


def tidy(axis: Axes) -> None:
    """Small ticks, no box."""
    axis.tick_params(labelsize=FONT - 1)
    axis.spines[["top", "right"]].set_visible(False)


def role(name: str, attrs: dict) -> str:
    """The head's part in the induction circuit: "previous-token", "induction" or nothing."""
    roles = {"previous-token": attrs["previous"], "induction": attrs["induction"]}
    return next((r for r, heads in roles.items() if name in heads.split("+")), "")


def named_by_role(names: Sequence[str], attrs: dict) -> dict[str, str]:
    """Of these heads those of the induction circuit, each with its name and role: "L1H4 induction"."""
    return {name: f"{name} {part}" for name in names if (part := role(name, attrs))}


def head_curves(
    axis: Axes, values: xr.DataArray, margins: xr.DataArray, tokens: np.ndarray, named: Mapping[str, str]
) -> None:
    """One curve per head [step, restriction] with bars of `margins` to either side, half the width of 95% intervals:
    grey, but for those that are named. named: labels by head, for `end_labels.write`.

    What is in colour is thick, has markers of its own and is darker than grey, so that it is told apart in print.
    """
    names = [str(name) for name in values.restriction.values]
    grey: dict[str, Any] = {"color": QUIET, "linewidth": 1.0, "elinewidth": 0.6, "markersize": 3, "zorder": 1.5}
    grey |= {"marker": "o"} if len(tokens) == 1 else {}  # a single point is no line
    thick: dict[str, Any] = {"linewidth": 2.0, "elinewidth": 1.0, "markersize": 4.5, "zorder": 3}
    for name in (name for name in names if name not in named):
        at = {"restriction": names.index(name)}
        axis.errorbar(tokens, values.isel(at), margins.isel(at), **grey)
    for number, name in enumerate(name for name in names if name in named):
        at = {"restriction": names.index(name)}
        look = thick | {"color": DARK[number % len(DARK)], "marker": MARKERS[number % len(MARKERS)]}
        axis.errorbar(tokens, values.isel(at), margins.isel(at), label=named[name], **look)


def pair_heatmap(
    axis: Axes, values: np.ndarray, sources: Sequence[str], targets: Sequence[str], limit: float
) -> AxesImage:
    """Sources down, targets across, zero white; returns the image for a colour bar."""
    image = axis.imshow(values, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="equal")
    axis.set_xticks(range(len(targets)), targets, rotation=90, fontsize=FONT - 2)
    axis.set_yticks(range(len(sources)), sources, fontsize=FONT - 2)
    return image


def between_layers(dataset: xr.Dataset) -> tuple[list[str], list[str]]:
    """Heads that can be a source (all but the last layer's), and those that can be a target (all but layer 0's)."""
    names = [str(name) for name in dataset.source.values]
    last = max(name.partition("H")[0] for name in names)
    return [n for n in names if not n.startswith(last + "H")], [n for n in names if not n.startswith("L0H")]
