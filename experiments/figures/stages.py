"""What is learned when: scores of each stage, and the learning coefficient of the whole model."""

from concurrent.futures import Executor

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from experiments.claims import landscape_stages, stages
from experiments.jobs import runner
from experiments.measurements.full_llc import FULL_LLC
from experiments.measurements.induction_heads import INDUCTION_HEADS
from experiments.measurements.predictions import PREDICTIONS
from experiments.measurements.scores import SCORES
from experiments.measurements.variants import of_whole_model
from experiments.plots import end_labels, style
from experiments.results.cells import Cells
from experiments.results.kind import Kind
from experiments.runs.run import tokens_seen
from experiments.statistics.intervals import margin
from llc.intervals import half_widths

TITLE = "Stages of learning"
CAPTION = (
    "Loss, learning coefficient of the whole model, and scores of each stage over training; bars are 95% confidence "
    "intervals. n-gram scores are the mean loss over that on the last tokens of common n-grams. Vertical lines are "
    "the onsets (20% of the rise) of bigrams (closeness of predictions to the text's bigrams), longer n-grams, "
    "previous-token heads and induction heads; bands are their 95% confidence intervals, no narrower than the "
    "checkpoints around them. Diamonds are critical points of the smoothed learning coefficient, with their "
    "intervals. Look for the order of the lines, and for critical points that stand near them."
)

NEEDS: tuple[Kind, ...] = (SCORES, PREDICTIONS, INDUCTION_HEADS)  # kinds of cells
ENDS = ("", "_se", "_degrees")  # of what is clustered by document
STAGE_COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7")
CRITICAL = "#D55E00"


def prepare(cells: Cells, executor: Executor) -> None:
    """Samples what is missing of the whole model's coefficient."""
    runner.run(of_whole_model(cells).missing_tables([FULL_LLC]), executor, cells.run.name)


def compute(cells: Cells) -> xr.Dataset:
    """loss, icl [step], ngram_score [step, n], previous_token, prefix_matching [step, restriction], all with their _se
    and _degrees; llc [llc_step] with llc_half, half its 95% interval; onset [score, end] and critical [point, end] in
    steps (end: step, low, high).
    """
    kept = ("loss", "icl", "previous_token", "prefix_matching")
    scores = cells.table(SCORES)[[name + end for name in kept for end in ENDS]]
    ngrams = cells.table(PREDICTIONS)[[f"ngram_score{end}" for end in ENDS]]
    full = of_whole_model(cells).table(FULL_LLC)
    llc = xr.Dataset({"llc": ("llc_step", full["value"].values), "llc_half": ("llc_step", half_widths(full).values)})
    data = xr.merge([scores, ngrams, llc.assign_coords(llc_step=full.step.values)], combine_attrs="drop")
    crossings = stages.rises(stages.curves_of(cells), stages.SHARES["onset"])
    data["onset"] = (("score", "end"), np.array([one[:3] for one in crossings], dtype=float))
    points = landscape_stages.turns(full)
    data["critical"] = (("point", "end"), np.array([one[:3] for one in points], dtype=float).reshape(-1, 3))
    coords = {"tokens": ("step", tokens_seen(cells.run, data.step.values)), "score": list(stages.SCORE_NAMES)}
    settings = {"settings": cells.plan.llc.name, "millions_a_step": cells.run.tokens_per_step / 1e6}
    attrs = cells.table(INDUCTION_HEADS).attrs | settings
    return data.assign_coords(coords).assign_attrs(attrs)


def draw(data: xr.Dataset) -> Figure:
    figure = style.new_figure(13.5, 7.0)
    axes = figure.subplots(2, 3)
    tokens = data.tokens.values
    _curve(axes[0, 0], tokens, data.loss, margin(data, "loss"))
    _draw_llc(axes[0, 1], data)
    for color, n in zip(style.COLORS, data.n.values.tolist(), strict=False):
        part = data.sel(n=n)
        _curve(axes[0, 2], tokens, part.ngram_score, margin(part, "ngram_score"), color=color, label=f"n = {n}")
    axes[0, 2].legend(fontsize=style.FONT - 1, frameon=False, loc="upper left")
    for axis, score, first in ((axes[1, 0], "previous_token", True), (axes[1, 1], "prefix_matching", False)):
        part = data.isel(restriction=np.flatnonzero((data.layer.values == 0) == first))
        named = style.named_by_role(part.restriction.values.tolist(), data.attrs)
        style.head_curves(axis, part[score], margin(part, score), tokens, named)
        axis.set_ylim(bottom=0)
        end_labels.write(axis)
    _curve(axes[1, 2], tokens, data.icl, margin(data, "icl"))
    axes[1, 2].axhline(0, color=style.QUIET, linewidth=0.8)
    titles = (
        ("Loss", "loss (nats per token)"),
        ("Learning coefficient, whole model", f"LLC ({data.attrs['settings']} settings)"),
        ("n-grams", "n-gram score (ratio of losses)"),
        ("Previous-token heads, layer 0", "attention to the previous token"),
        ("Induction heads, later layers", "prefix-matching score"),
        ("In-context learning", "late loss - early loss (nats per token)"),
    )
    for axis, (title, label) in zip(axes.flat, titles, strict=True):
        _draw_onsets(axis, data)
        style.token_axis(axis, tokens)
        axis.set_title(title, fontsize=style.FONT + 1)
        axis.set_ylabel(label, fontsize=style.FONT)
    _legend(figure, data)
    return figure


def _curve(
    axis: Axes, tokens: np.ndarray, values: xr.DataArray, margins: xr.DataArray, color: str = "#000000", label: str = ""
) -> None:
    axis.errorbar(
        tokens, values.values, margins.values, color=color, marker="o", markersize=3, linewidth=1.4, label=label or None
    )


def _draw_llc(axis: Axes, data: xr.Dataset) -> None:
    """The curve, and its critical points just above it."""
    scale = data.attrs["millions_a_step"]
    _curve(axis, data.llc_step.values * scale, data.llc, data.llc_half)
    low, high = axis.get_ylim()
    axis.set_ylim(low, high + 0.12 * (high - low))
    for point in data.critical.values * scale:
        at, lowest, highest = point
        reach = [[at - lowest], [highest - at]]
        axis.errorbar(
            [at], [high + 0.05 * (high - low)], xerr=reach, color="#D55E00", marker="D", markersize=5, capsize=3
        )


def _draw_onsets(axis: Axes, data: xr.Dataset) -> None:
    for color, (at, low, high) in zip(STAGE_COLORS, data.onset.values * data.attrs["millions_a_step"], strict=True):
        if np.isfinite(at):
            axis.axvspan(low, high, color=color, alpha=0.13, linewidth=0, zorder=0)
            axis.axvline(at, color=color, linewidth=1.2, zorder=0.5)


def _legend(figure: Figure, data: xr.Dataset) -> None:
    """Below all panels: the onsets in steps, and the critical points."""
    entries = []
    for color, name, (at, _, _) in zip(STAGE_COLORS, data.score.values.tolist(), data.onset.values, strict=True):
        label = f"onset of {name}: " + (f"step {at:,.0f}" if np.isfinite(at) else "not seen")
        entries.append(Line2D([], [], color=color, linewidth=2, label=label))
    if data.sizes["point"]:
        entries.append(Line2D([], [], color=CRITICAL, marker="D", linewidth=1, label="critical point of the LLC"))
    figure.legend(handles=entries, loc="outside lower center", ncols=3, fontsize=style.FONT, frameon=False)
