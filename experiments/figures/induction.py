"""Induction over training: what the model copies, and the attention that does it."""

import xarray as xr
from matplotlib.figure import Figure

from experiments.measurements.induction_heads import INDUCTION_HEADS
from experiments.measurements.scores import SCORES
from experiments.plots import end_labels, style
from experiments.results.cells import Cells
from experiments.results.kind import Kind
from experiments.runs.run import tokens_seen
from experiments.statistics.intervals import margin

TITLE = "Induction over training"
CAPTION = (
    "How much cheaper the second copy of a sequence is than the first (left), attention to the previous token in "
    "layer 0 (middle), and prefix-matching scores in later layers (right), over training; bars are 95% confidence "
    "intervals. In colour and named at their end: heads of the induction circuit; grey: all others. Look for the "
    "order: previous-token attention first, then prefix-matching scores and copying together."
)

NEEDS: tuple[Kind, ...] = (SCORES, INDUCTION_HEADS)  # kinds of cells


def compute(cells: Cells) -> xr.Dataset:
    """copy_gain [step, data], previous_token and prefix_matching [step, restriction], with their _se and _degrees."""
    names = [
        name + end for name in ("copy_gain", "previous_token", "prefix_matching") for end in ("", "_se", "_degrees")
    ]
    scores = cells.table(SCORES)[names]
    return scores.assign_coords(tokens=("step", tokens_seen(cells.run, scores.step.values))).assign_attrs(
        cells.table(INDUCTION_HEADS).attrs
    )


def draw(data: xr.Dataset) -> Figure:
    figure = style.new_figure(13.5, 3.8)
    left, middle, right = figure.subplots(1, 3)
    tokens = data.tokens.values
    for text, color in zip(("random", "text"), style.COLORS, strict=False):
        at = data.sel(data=text)
        left.errorbar(
            tokens,
            at.copy_gain,
            margin(at, "copy_gain"),
            color=color,
            marker="o",
            markersize=3,
            label=style.TEXT_NAMES[text],
        )
    left.axhline(0, color=style.QUIET, linewidth=0.8)
    left.legend(fontsize=style.FONT - 1, frameon=False, loc="upper left")
    first, later = data.layer.values == 0, data.layer.values > 0
    for axis, score, chosen in ((middle, "previous_token", first), (right, "prefix_matching", later)):
        part = data.isel(restriction=chosen.nonzero()[0])
        named = style.named_by_role(part.restriction.values.tolist(), data.attrs)
        style.head_curves(axis, part[score], margin(part, score), tokens, named)
        axis.set_ylim(bottom=0)
        end_labels.write(axis)
    titles = ("Copy gain", "Previous-token heads, layer 0", "Induction heads, later layers")
    labels = ("first copy's loss - second's (nats per token)", "previous-token score", "prefix-matching score")
    for axis, title, label in zip((left, middle, right), titles, labels, strict=True):
        style.token_axis(axis, tokens)
        axis.set_title(title, fontsize=style.FONT + 1)
        axis.set_ylabel(label, fontsize=style.FONT)
    return figure
