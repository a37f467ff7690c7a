"""The path of a run in function space: principal components of its outputs over training, and where the path turns."""

from concurrent.futures import Executor

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from experiments.claims import stages
from experiments.figures.stages import STAGE_COLORS
from experiments.jobs import runner
from experiments.measurements.induction_heads import INDUCTION_HEADS
from experiments.measurements.logits import LOGITS
from experiments.measurements.predictions import PREDICTIONS
from experiments.measurements.scores import SCORES
from experiments.plots import style
from experiments.results.cells import Cells
from experiments.results.kind import Kind
from experiments.runs.run import tokens_seen
from experiments.statistics import trajectories
from experiments.statistics.trajectories import Components

TITLE = "Path in function space"
CAPTION = (
    "The model's logits on fixed held-out inputs over training, on their first three principal components (points: "
    "checkpoints; lines: smoothed in log step; crosses: where the path turns faster than 95% of random walks do "
    "anywhere). Middle: the same for a random walk whose steps are as long and point anywhere, in as many dimensions: "
    "its components bend, too, so a bend alone says nothing. Bottom: how fast the direction turns, with the middle 95% "
    "of random walks at each place (grey) and the level of their largest turns (dashed); vertical lines are the onsets "
    "of the stages, as in the figure stages. Look for crosses that stand at an onset."
)
NEEDS: tuple[Kind, ...] = (SCORES, PREDICTIONS, INDUCTION_HEADS)
SHOWN = ((0, 1), (0, 2), (1, 2))  # pairs of components


def prepare(cells: Cells, executor: Executor) -> None:
    """Takes the logits."""
    runner.run(cells.missing(LOGITS), executor, cells.run.name)


def compute(cells: Cells) -> xr.Dataset:
    """score [step, component] and share, and those of one random walk (walk_...); onset [score_name] in steps; and,
    where there are enough checkpoints to smooth, `_paths` [place]; else no places.
    """
    found = cells.get(LOGITS).logits
    steps, outputs = found.step.values, found.values.reshape(found.sizes["step"], -1)
    run = trajectories.components(outputs)
    sizes, dimensions = trajectories.lengths(outputs)
    walks = trajectories.random_walks(sizes, dimensions)
    onsets = stages.rises(stages.curves_of(cells), stages.SHARES["onset"])
    data: dict = {"onset": ("score_name", np.array([one.step for one in onsets]))}
    for prefix, one in (("", run), ("walk_", walks[0])):
        data[f"{prefix}score"] = (("step", "component"), one.scores)
        data[f"{prefix}share"] = ("component", one.shares)
    attrs = {"dimensions": dimensions, "millions_a_step": cells.run.tokens_per_step / 1e6}
    coords = {
        "step": steps,
        "tokens": ("step", tokens_seen(cells.run, steps)),
        "score_name": list(stages.SCORE_NAMES),
    }
    whole = xr.Dataset(data, coords, attrs)
    if len(steps) < trajectories.FEWEST:
        return whole
    return whole.merge(_paths(steps, run, walks), combine_attrs="no_conflicts")


def _paths(steps: np.ndarray, run: Components, walks: list[Components]) -> xr.Dataset:
    """smooth and walk_smooth [place, component], turning [place] at the steps place, low and high [place] of all walks,
    and the steps of turns.
    """
    path = trajectories.smoothed(steps, run.scores)
    of_walks = [trajectories.smoothed(steps, walk.scores) for walk in walks]
    low, high = np.quantile([walk.turning for walk in of_walks], [0.025, 0.975], axis=0)
    level = trajectories.level(of_walks)
    data = {
        "smooth": (("place", "component"), path.places),
        "walk_smooth": (("place", "component"), of_walks[0].places),
        "turning": ("place", path.turning),
        "low": ("place", low),
        "high": ("place", high),
        "turn": ("turn", np.array([turn.step for turn in trajectories.turns(path, level)])),
    }
    return xr.Dataset(data, {"place": path.steps}, {"level": level})


def draw(data: xr.Dataset) -> Figure:
    figure = style.new_figure(12.5, 10.5)
    top, middle, bottom = figure.subfigures(3, 1, squeeze=False, height_ratios=[1, 1, 0.8])[:, 0]
    scale = data.attrs["millions_a_step"]
    seen = data.step.values[data.step.values > 0] * scale
    norm = LogNorm(seen.min(), seen.max())
    for part, prefix, title in (
        (top, "", "logits"),
        (middle, "walk_", f"a random walk in {data.attrs['dimensions']} dimensions"),
    ):
        axes = part.subplots(1, len(SHOWN))
        for axis, pair in zip(axes, SHOWN, strict=True):
            _plane(axis, data, prefix, pair, norm)
            axis.set_title(title, fontsize=style.FONT + 1)
        bar = part.colorbar(ScalarMappable(norm, "viridis"), ax=list(axes), pad=0.01, aspect=30)
        bar.set_label("training tokens (millions)", fontsize=style.FONT)
        bar.ax.tick_params(labelsize=style.FONT - 1)
    if "place" in data.dims:
        _turning(bottom.subplots(1, 1), data)
    else:
        style.footnote(figure, f"{data.sizes['step']} checkpoints: too few to smooth and to look for turns")
    return figure


def _plane(axis: Axes, data: xr.Dataset, prefix: str, pair: tuple[int, int], norm: LogNorm) -> None:
    points = data[f"{prefix}score"].values[:, pair]
    line = data[f"{prefix}smooth"].values[:, pair] if "place" in data.dims else points
    axis.plot(line[:, 0], line[:, 1], color=style.QUIET, lw=1.2, zorder=1)
    tokens = (data.step.values * data.attrs["millions_a_step"]).clip(norm.vmin)
    axis.scatter(points[:, 0], points[:, 1], c=tokens, cmap="viridis", norm=norm, s=18, zorder=2)
    if not prefix and "place" in data.dims:
        near = [int(abs(data.place.values - step).argmin()) for step in data.turn.values]
        axis.plot(line[near, 0], line[near, 1], "x", color=style.COLORS[1], ms=8, mew=1.8, zorder=3)
    for set_label, which in ((axis.set_xlabel, pair[0]), (axis.set_ylabel, pair[1])):
        share = 100 * float(data[f"{prefix}share"][which])
        set_label(f"component {which + 1} ({share:.0f}%)", fontsize=style.FONT)
    axis.locator_params(nbins=6)
    style.tidy(axis)


def _turning(axis: Axes, data: xr.Dataset) -> None:
    tokens = data.place.values * data.attrs["millions_a_step"]
    axis.fill_between(tokens, data.low, data.high, color=style.QUIET, alpha=0.4, lw=0, label="random walks (95%)")
    axis.axhline(data.attrs["level"], color=style.QUIET, ls="--", lw=1, label="their largest turns (95%)")
    axis.plot(tokens, data.turning, color="black", lw=1.4, label="the run")
    for color, name, step in zip(STAGE_COLORS, data.score_name.values, data.onset.values, strict=True):
        if np.isfinite(step):
            axis.axvline(step * data.attrs["millions_a_step"], color=color, lw=1.4, label=f"onset: {name}")
    axis.set_ylim(bottom=0)
    axis.set_ylabel("turning (radians per unit of log step)", fontsize=style.FONT)
    style.token_axis(axis, data.tokens.values)
    axis.legend(fontsize=style.FONT - 1, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
