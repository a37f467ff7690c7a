"""What cutting each path between one head and the others costs, on text and on repeated tokens."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.plots import style
from experiments.statistics.intervals import reach

SHOWN = 24  # other heads
COSTS = {
    "effect": "loss rise on held-out text\n(nats per token)",
    "copy_gain": "copy gain removed on repeated\nrandom tokens (nats per token)",
}


def draw(paths: pd.DataFrame, other: str) -> Figure:
    """paths: rows of `head_pairs.paths`, all into one head or all out of one; other: the column of the other head."""
    names = strongest(paths, other)
    figure = style.new_figure(max(5.6, 1.6 + 0.62 * len(names)), 4.6)
    for axis, (cost, label) in zip(figure.subplots(2, 1, sharex=True), COSTS.items(), strict=True):
        _panel(axis, paths[paths[other].isin(names)], other, names, cost)
        axis.set_ylabel(label, fontsize=style.FONT)
    upper, lower = figure.axes
    lower.set_xticks(range(len(names)), names, rotation=0 if len(names) <= 10 else 60)
    lower.set_xlabel("from (source head)" if other == "source" else "into (target head)", fontsize=style.FONT)
    figure.legend(
        *upper.get_legend_handles_labels(), fontsize=style.FONT, frameon=False, ncol=3, loc="outside upper left"
    )
    return figure


def strongest(paths: pd.DataFrame, other: str) -> list[str]:
    """The other heads, in their order; of very many those with the largest effects."""
    largest = paths.assign(size=paths.effect.abs()).groupby(other, sort=False)["size"].max()
    kept = set(largest.nlargest(SHOWN).index)
    return [name for name in largest.index if name in kept]


def _panel(axis: Axes, paths: pd.DataFrame, other: str, names: list[str], cost: str) -> None:
    for number, (via, color) in enumerate(style.VIA_COLORS.items()):
        rows = paths[paths.via == via].set_index(other).reindex(names)
        places = np.arange(len(names)) + 0.22 * (number - 1)
        bars = reach(rows[f"{cost}_degrees"].values) * rows[f"{cost}_se"].values
        axis.bar(places, rows[cost], 0.2, color=color, alpha=0.85, label=style.VIA_NAMES[via])
        axis.errorbar(places, rows[cost], bars, fmt="none", ecolor="black", elinewidth=1.0, capsize=1.5)
    axis.axhline(0, color="black", linewidth=0.7)
    axis.set_xlim(-0.6, len(names) - 0.4)
    style.tidy(axis)
