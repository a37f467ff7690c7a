"""Which layer serves each multigram, mid-training and at the end: all of them, and those that moved in full."""

from concurrent.futures import Executor

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.heldout import head_types, multigram_moves
from experiments.measurements.variants import middle_step
from experiments.plots import style
from experiments.plots.fonts import as_written
from experiments.results.cells import Cells
from experiments.results.kind import Kind
from experiments.statistics.intervals import margin
from experiments.study.study import Study, pass_of_types

TITLE = "Multigrams that move between layers"
CAPTION = (
    "Each point is a multigram that the model has mid-training: how much more (or less) removing layer 0's heads and "
    "layer 1's heads costs on its completions at the end of training, one by one and summed, less the mean of all "
    "multigrams. In colour those that move, beyond 95% errors on both halves of the documents. Beside it, what a head "
    "(and the sum over each layer) does for up to three that move from layer 0 to 1, mid-training and at the end; "
    "bars are 95% confidence intervals, clustered by document. If multigrams migrate, more points are coloured at the "
    "upper left than at the lower right."
)

NEEDS: tuple[Kind, ...] = ()
COLORS = {1: style.COLORS[1], -1: style.COLORS[0]}  # from layer 0 to 1, from 1 to 0
NAMES = {1: "from layer 0 to layer 1", -1: "from layer 1 to layer 0"}


def prepare(cells: Cells, executor: Executor) -> None:
    """Computes both passes over the held-out text."""
    for step in (middle_step(cells.run), cells.run.steps[-1]):
        head_types.compute(cells, pass_of_types(cells, step), executor)


def compute(cells: Cells) -> xr.Dataset:
    """change [layer, multigram], moved [multigram] (1 from layer 0 to 1, -1 back); effect [shown, snapshot, row] of the
    clearest moves from layer 0 to 1: heads, then layers; with their _se and _degrees.
    """
    return dataset(Study((cells,)).multigram_moves(cells), (middle_step(cells.run), cells.run.steps[-1]))


def dataset(found: xr.Dataset, steps: tuple[int, int]) -> xr.Dataset:
    """Of a dataset of `multigram_moves.measure`, between two steps."""
    changes = multigram_moves.moves(found)
    squares = changes.se**2
    # Welch and Satterthwaite: of a sum of two independent errors
    free = squares.sum(0) ** 2 / (squares**2 / np.broadcast_to(changes.degrees, changes.se.shape)).sum(0)
    data = {
        "change": (("layer", "multigram"), changes.value.mean(0)),
        "change_se": (("layer", "multigram"), np.sqrt(squares.sum(0)) / 2),
        "change_degrees": (("layer", "multigram"), free),
        "moved": ("multigram", changes.moved(0).astype(int) - changes.moved(1)),
    }
    kept = found[["effect", "effect_se", "effect_degrees"]].assign(data)
    shown = zip(found.text.values[found.number.values], found.completions.values, strict=True)
    said = [f"{text}\n({count} completions)" for text, count in shown]
    coords = {"layer": [0, 1], "snapshot": list(steps), "said": ("shown", np.array(said, dtype=str))}
    return kept.assign_coords(coords).assign_attrs(known=found.attrs["known"])


def draw(data: xr.Dataset) -> Figure:
    figure = style.new_figure(12.0, 5.6)
    count = max(1, data.sizes["shown"])
    scatter, *others = figure.subplots(1, 1 + count, width_ratios=[4.6, *[2.4] * count])
    _scatter(scatter, data)
    if data.sizes["shown"] == 0:
        others[0].axis("off")
        others[0].text(0.5, 0.5, "no multigram moves\nfrom layer 0 to layer 1", ha="center", fontsize=style.FONT)
        return figure
    for number, axis in enumerate(others):
        _by_head(axis, data.isel(shown=number), named=number == 0)
    others[0].legend(fontsize=style.FONT - 1.5, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.12))
    others[count // 2].set_xlabel("loss rise, mean ablation (nats per completion, 95%)", fontsize=style.FONT)
    return figure


def _scatter(axis: Axes, data: xr.Dataset) -> None:
    first, second = data.change.values
    axis.scatter(first, second, s=9, color=style.QUIET, linewidths=0, label="no move that is confirmed")
    for direction, color in COLORS.items():
        chosen = (data.moved == direction).values
        errors = margin(data, "change").values[:, chosen]
        label = f"{NAMES[direction]}: {chosen.sum()}"
        axis.errorbar(first[chosen], second[chosen], errors[1], errors[0], "o", ms=4, lw=0.7, color=color, label=label)
    for line in (axis.axhline, axis.axvline):
        line(0, color="black", linewidth=0.6)
    for x, y in ((0, 0), (0, 1), (1, 0), (1, 1)):
        inside = ((first > 0) == bool(x)) & ((second > 0) == bool(y))
        axis.text(
            0.98 if x else 0.02,
            0.98 if y else 0.02,
            f"{inside.sum()} multigrams",
            ha="right" if x else "left",
            va="top" if y else "bottom",
            fontsize=style.FONT,
            transform=axis.transAxes,
        )
    axis.set_xlabel("change in layer 0 (nats per completion, less the mean)", fontsize=style.FONT)
    axis.set_ylabel("change in layer 1 (nats per completion, less the mean)", fontsize=style.FONT)
    early, late = data.snapshot.values
    axis.set_title(f"step {early} to {late}: {len(first)} of {data.attrs['known']} multigrams", fontsize=style.FONT + 1)
    axis.legend(fontsize=style.FONT - 1.5, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.12))
    style.tidy(axis)


def _by_head(axis: Axes, one: xr.Dataset, named: bool) -> None:
    rows = np.arange(one.sizes["row"], dtype=float)
    rows[-2:] += 0.6  # the layers' sums, apart from the heads
    for number, (step, color) in enumerate(zip(one.snapshot.values, (style.COLORS[5], "black"), strict=True)):
        at, place = one.isel(snapshot=number), rows + (number - 0.5) * 0.3
        errors = margin(at, "effect").values
        axis.errorbar(
            at.effect, place, xerr=errors, fmt="so"[number], ms=3.5, lw=0.9, color=color, label=f"step {step}"
        )
    layer_1 = [str(name).startswith("L1") for name in one.row.values].index(True)
    for line in (layer_1 - 0.5, len(rows) - 1.7):
        axis.axhline(line, color=style.QUIET, linewidth=0.7)
    axis.axvline(0, color=style.QUIET, linewidth=0.8, zorder=0)
    axis.set_yticks(rows, one.row.values if named else [""] * len(rows))
    axis.set_ylim(rows[-1] + 0.6, -0.6)
    axis.set_title(one.said.item(), fontsize=style.FONT, **as_written(one.said.item()))
    style.tidy(axis)
