"""One look for all figures: colour-blind-safe colours (Okabe and Ito), roles of heads, a log axis of tokens."""

import textwrap
from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
VIA_COLORS = {"q": "#E69F00", "k": "#0072B2", "v": "#009E73"}
VIA_NAMES = {"q": "queries (Q)", "k": "keys (K)", "v": "values (V)"}
TEXT_NAMES = {"random": "repeated random tokens", "text": "repeated held-out text"}
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


def head_curves(axis: Axes, values: xr.DataArray, margins: xr.DataArray, tokens: np.ndarray, attrs: dict) -> None:
    """One curve per head with bars of `margins` to either side, half the width of 95% intervals; heads of the circuit
    are thick and named by their role.
    """
    for number, name in enumerate(values.restriction.values.tolist()):
        part = role(name, attrs)
        at = {"restriction": number}
        axis.errorbar(
            tokens,
            values.isel(at),
            margins.isel(at),
            color=COLORS[number % len(COLORS)],
            linewidth=2.2 if part else 1.1,
            marker="o" if part else None,
            markersize=4,
            elinewidth=0.9,
            linestyle="-" if part else ("--", ":", "-.")[number % 3],
            label=f"{name} {part}".strip(),
        )
    axis.legend(fontsize=FONT - 2, frameon=False, loc="best")


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
