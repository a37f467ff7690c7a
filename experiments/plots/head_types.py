"""What each head is: its effect, where it attends, and what kind of token its direct path matters most for."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import ScaledTranslation

from circuits.classify import CURRENT_TOKEN, PREVIOUS_TOKEN
from experiments.plots import style
from experiments.plots.fonts import as_written
from experiments.statistics.intervals import margin

KIND_COLORS = dict(
    zip(
        ("induction", "bracket", "quote", "n-gram", "skip n-gram", "none"),
        ("#D55E00", "#0072B2", "#56B4E9", "#009E73", "#E69F00", "#DDDDDD"),
        strict=True,
    )
)
MARKS = {"previous_token": ("previous token", "o"), "current_token": ("current token", "s"),
         "prefix_matching": ("prefix-matching score", "^")}  # fmt: skip


BELOW = 0.62  # inches from an axis down to its legend: ticks and two lines of words


def draw(table: xr.Dataset, title: str) -> Figure:
    """Heads from top to bottom, with their types; the table is that of `experiments.heldout.head_types`."""
    names = [str(name) for name in table.restriction.values]
    rows = np.arange(len(names))
    figure = style.new_figure(11.5, min(30.0, 0.26 * len(names) + 2.0))
    effect, looks, kinds, known = figure.subplots(1, 4, sharey=True, width_ratios=[1.1, 1.1, 2.2, 0.9])
    _effect(effect, table, rows)
    for number, (score, (label, marker)) in enumerate(MARKS.items()):
        errors = margin(table, score).values
        color = style.COLORS[number]
        looks.errorbar(table[score].values, rows, xerr=errors, fmt=marker, ms=4, color=color, label=label, lw=0.8)
    for threshold in (CURRENT_TOKEN, PREVIOUS_TOKEN):
        looks.axvline(threshold, color=style.QUIET, lw=0.8, zorder=0)
    looks.set_xlim(-0.02, 1.02)
    looks.set_xlabel("mean attention\n(grey: thresholds of types)", fontsize=style.FONT)
    _kinds(kinds, table, rows)
    share = table.learned.sum("sort").values / max(1, int(table.multigrams.sum()))
    known.barh(rows, 100 * share, color=KIND_COLORS["n-gram"])
    known.set_xlim(0, 100)
    known.set_xlabel(f"% learned of the model's\n{int(table.multigrams.sum())} multigrams", fontsize=style.FONT)
    labels = [f"{name}  {kind}" for name, kind in zip(names, table.type.values.tolist(), strict=True)]
    effect.set_yticks([*rows, len(names)], [*labels, "all tokens"], fontsize=style.FONT - 1)
    effect.set_ylim(len(names) + 0.6, -0.6)
    for axis in (effect, looks, kinds, known):
        style.tidy(axis)
    for axis, columns in ((looks, 1), (kinds, 3)):
        below = axis.transAxes + ScaledTranslation(0, -BELOW, figure.dpi_scale_trans)
        place = {"loc": "upper center", "bbox_to_anchor": (0.5, 0), "bbox_transform": below}
        axis.legend(ncol=columns, fontsize=style.FONT - 1.5, frameon=False, **place)
    figure.suptitle(title, fontsize=style.FONT + 1, **as_written(title))
    return figure


def _effect(axis: Axes, table: xr.Dataset, rows: np.ndarray) -> None:
    errors = margin(table, "effect").values
    axis.errorbar(table.effect.values, rows, xerr=errors, fmt="o", ms=3.5, color="black", lw=0.9)
    axis.axvline(0, color=style.QUIET, lw=0.8, zorder=0)
    axis.set_xlabel("loss rise, mean ablation\n(nats per token, 95%)", fontsize=style.FONT)


def _kinds(axis: Axes, table: xr.Dataset, rows: np.ndarray) -> None:
    shares = 100 * np.concatenate([table.affected.values, table.usual.values[None]])
    left = np.zeros(len(rows) + 1)
    for column, kind in enumerate(table.kind.values.tolist()):
        axis.barh([*rows, len(rows)], shares[:, column], left=left, color=KIND_COLORS[kind], label=kind)
        left += shares[:, column]
    axis.axhline(len(rows) - 0.5, color="black", lw=0.6)
    axis.set_xlim(0, max(100.0, left.max()))
    overlap = "\n(kinds overlap: bars can pass 100%)" if left.max() > 100.5 else ""
    axis.set_xlabel(f"% of the tokens its direct path matters most for{overlap}", fontsize=style.FONT)
