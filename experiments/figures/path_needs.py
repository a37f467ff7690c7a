"""What nested brackets come to need: the effect of cutting paths between heads on the choice of closer over time."""

from concurrent.futures import Executor

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.jobs import runner
from experiments.measurements.variants import few_steps
from experiments.plots import style
from experiments.results.cells import Cells
from experiments.results.kind import Kind
from experiments.runs.run import tokens_seen
from experiments.statistics.intervals import margin
from experiments.study.study import Study
from experiments.tasks import bracket_effects

TITLE = "Which paths brackets need"
CAPTION = (
    "Log-odds of the right closer (left), and what cutting one path between heads takes from them, through queries, "
    "keys and values at once: at nested closers, whose wrong answer is the closer of the bracket around them "
    "(middle), and at other brackets (right), over training; cut by mean ablation, bars are 95% confidence intervals, "
    "clustered by document. The paths with the largest effects at nested closers are named, all others grey. Look for "
    "a path that nested closers come to need more than others do, and for whether it takes the place of another one."
)

NEEDS: tuple[Kind, ...] = ()  # kinds of cells
TOP = 4
GROUP_NAMES = {"nested": "nested brackets", "unnested": "other brackets", "quote": "quotes"}


def prepare(cells: Cells, executor: Executor) -> None:
    """Cuts all paths at some checkpoints."""
    jobs = [job for step in few_steps(cells) for job in bracket_effects.missing(cells, step)]
    runner.run(jobs, executor, cells.run.name)


def compute(cells: Cells) -> xr.Dataset:
    """log_odds [step, group], lost [step, group, path], each with its _se and _degrees."""
    tables = Study((cells,)).brackets(cells)
    kept = [
        table[[name + end for name in ("log_odds", "lost") for end in ("", "_se", "_degrees")]]
        for table in tables.values()
    ]
    data = xr.concat(kept, "step", combine_attrs="drop").assign_coords(step=list(tables))
    paths = ["->" in str(name) for name in data.change.values]
    data = data.isel(change=np.flatnonzero(paths)).rename(change="path")
    closers = {str(name): int(next(iter(tables.values())).closers.sel(group=name)) for name in data.group.values}
    return data.assign_coords(tokens=("step", tokens_seen(cells.run, data.step.values))).assign_attrs(closers=closers)


def draw(data: xr.Dataset) -> Figure:
    figure = style.new_figure(12.5, 4.2)
    left, middle, right = figure.subplots(1, 3)
    right.sharey(middle)
    tokens, counts = data.tokens.values, data.attrs["closers"]
    for color, marker, name in zip(style.COLORS, "os^", data.group.values.tolist(), strict=False):
        at, label = data.sel(group=name), f"{GROUP_NAMES[name]} ({counts[name]:,} closers)"
        bars = margin(at, "log_odds")
        left.errorbar(tokens, at.log_odds, bars, color=color, marker=marker, markersize=4, linewidth=1.4, label=label)
    largest = np.abs(data.lost.sel(group="nested")).max("step").values
    top = np.argsort(-largest, kind="stable")[:TOP]
    for axis, name in ((middle, "nested"), (right, "unnested")):
        _draw_paths(axis, data.sel(group=name), top)
    titles = ("The model as it is", "Cut paths: nested brackets", "Cut paths: other brackets")
    labels = ("log-odds of the right closer (nats)", "log-odds lost when cut (nats)", "log-odds lost when cut (nats)")
    for axis, title, label in zip((left, middle, right), titles, labels, strict=True):
        axis.axhline(0, color=style.QUIET, linewidth=0.8)
        style.token_axis(axis, tokens)
        axis.set_title(title, fontsize=style.FONT + 1)
        axis.set_ylabel(label, fontsize=style.FONT)
    left.legend(fontsize=style.FONT - 1, frameon=False, loc="upper left")
    middle.legend(fontsize=style.FONT - 1, frameon=False, loc="upper left")
    return figure


def _draw_paths(axis: Axes, data: xr.Dataset, top: np.ndarray) -> None:
    """All paths in grey, those at `top` over them with their names."""
    tokens = data.tokens.values
    rest = np.delete(data.lost.transpose("step", "path").values, top, axis=1)
    axis.plot(tokens, rest, color=style.QUIET, linewidth=0.6, zorder=1)
    for color, marker, number in zip(style.COLORS[:TOP], "os^D", top, strict=False):
        at = data.isel(path=int(number))
        axis.errorbar(
            tokens,
            at.lost,
            margin(at, "lost"),
            color=color,
            marker=marker,
            markersize=4,
            linewidth=1.6,
            elinewidth=0.9,
            label=str(at.path.values),
        )
