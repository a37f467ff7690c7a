"""What each head matters most for, mid-training and at the end: kinds of tokens, and a few of them in their context."""

import re
from concurrent.futures import Executor
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ablations import affected
from experiments import corpora
from experiments.heldout import ablation_pass, head_types
from experiments.measurements.variants import middle_step
from experiments.plots import style
from experiments.plots.fonts import as_written
from experiments.plots.head_types import KIND_COLORS
from experiments.results.cells import Cells
from experiments.results.kind import Kind
from experiments.study.study import Study, pass_of_types

TITLE = "Tokens in context"
CAPTION = (
    "Left: of the 40 tokens whose loss rises most under mean ablation of a head, the share of each kind, "
    "mid-training (upper bar) and at the end (lower bar), with the head's type at both. Right: the two most affected "
    "tokens, marked in their context, with the rise in nats (the largest of many, so too large on average; the verb "
    "affected prints fresh numbers). Look for heads that change what they serve, and for heads of the two layers that "
    "come to serve the same tokens."
)

NEEDS: tuple[Kind, ...] = ()
SHOWN = 2  # examples of each head
BEFORE, LONGEST = 50, 13  # characters before an example's token, and of the token
CONTEXT_TOKENS = 40


def prepare(cells: Cells, executor: Executor) -> None:
    """Computes both passes over the held-out text, and the types."""
    for step in (middle_step(cells.run), cells.run.steps[-1]):
        head_types.compute(cells, pass_of_types(cells, step), executor)


def compute(cells: Cells) -> xr.Dataset:
    """affected [snapshot, restriction, kind], type [snapshot, restriction], and of each example [..., shown] what
    stands before it, the token, and its effect in nats.
    """
    study, steps = Study((cells,)), (middle_step(cells.run), cells.run.steps[-1])
    parts = []
    for step in steps:
        types = study.types(cells, step)
        parts.append(xr.merge([types[["affected", "type"]], _examples(study, cells, step)]))
    return xr.concat(parts, "snapshot").assign_coords(snapshot=list(steps))


def draw(data: xr.Dataset) -> Figure:
    names = [str(name) for name in data.restriction.values]
    figure = style.new_figure(12.0, 0.44 * len(names) + 1.0)
    kinds, *texts = figure.subplots(1, 3, width_ratios=[2.2, 4, 4])
    _kinds(kinds, data, names)
    for number, axis in enumerate(texts):
        _texts(axis, data.isel(snapshot=number), names)
        moment = ("mid-training", "end of training")[number]
        axis.set_title(f"{moment}, step {data.snapshot.values[number]} (right: nats)", fontsize=style.FONT)
    return figure


def _kinds(axis: Axes, data: xr.Dataset, names: list[str]) -> None:
    rows = np.arange(len(names))[:, None] + np.array([-0.21, 0.21])  # [head, snapshot]
    share = 100 * data.affected.transpose("restriction", "snapshot", "kind").values
    left = np.zeros_like(rows)
    for number, kind in enumerate(data.kind.values.tolist()):
        label, color = kind, KIND_COLORS[kind]
        axis.barh(rows.ravel(), share[:, :, number].ravel(), 0.36, left=left.ravel(), color=color, label=label)
        left += share[:, :, number]
    types = data.type.transpose("restriction", "snapshot").values
    labels = [f"{name}  {before}" for name, before in zip(names, types[:, 0], strict=True)]
    axis.set_yticks(rows.ravel(), [text for pair in zip(labels, types[:, 1], strict=True) for text in pair])
    axis.set_xlim(0, max(100.0, left.max()))  # a token may be of several kinds
    axis.set_xlabel("% of the 40 most affected tokens\n(upper bars: mid-training)", fontsize=style.FONT)
    axis.legend(fontsize=style.FONT - 2, frameon=False, ncol=3, loc="lower center", bbox_to_anchor=(0.3, 1.0))
    style.tidy(axis)
    axis.tick_params(axis="y", labelsize=style.FONT - 2, length=0)
    _rows(axis, len(names))


def _texts(axis: Axes, at: xr.Dataset, names: list[str]) -> None:
    """The context ends where the token begins, at the same place in every line."""
    looks: dict[str, Any] = {"fontsize": style.FONT - 2.4, "va": "center"}
    marked = {"facecolor": "#FBE3D0", "edgecolor": style.COLORS[1], "linewidth": 0.6, "boxstyle": "square,pad=0.12"}
    for row in range(len(names)):
        for number in range(at.sizes["shown"]):
            one, height = at.isel(restriction=row, shown=number), row + (number - 0.5) * 0.42
            if not np.isfinite(float(one.effect)):
                continue
            for x, said, more in (
                (0.71, one.before.item(), {"ha": "right", "color": "#444444"}),
                (0.718, one.token.item(), {"ha": "left", "bbox": marked}),
                (1.0, f"{float(one.effect):+.1f}", {"ha": "right"}),
            ):
                axis.text(x, height, said, **more, **looks, **as_written(said, "monospace"))
    axis.set_xlim(0, 1)
    axis.set_xticks([])
    axis.set_yticks([])
    axis.spines[["left", "bottom", "top", "right"]].set_visible(False)
    _rows(axis, len(names))


def _rows(axis: Axes, count: int) -> None:
    axis.set_ylim(count - 0.5, -0.5)
    for row in range(1, count):
        axis.axhline(row - 0.5, color=style.QUIET, linewidth=0.5)


def _examples(study: Study, cells: Cells, step: int) -> xr.Dataset:
    kept, rows = study.effects(cells, step), ablation_pass.rows_of(pass_of_types(cells, step), cells.inputs)
    tokens, end = np.asarray(rows.tokens).astype(np.int64), corpora.bos(rows.tokenizer)
    names = kept.change.values.tolist()
    before, token = np.full((2, len(names), SHOWN), "", dtype=object)
    effect = np.full((len(names), SHOWN), np.nan)
    for head, name in enumerate(names):
        of_head = kept.sel(change=name)
        hurt = of_head.isel(token=np.flatnonzero(of_head.effect.values > 0))
        top = affected.top(ablation_pass.as_hits(hurt, tokens, hurt.effect.values), 1, SHOWN)
        for number, (row, pos) in enumerate(zip(top.row.tolist(), top.pos.tolist(), strict=True)):
            context = tokens[row, max(0, pos - CONTEXT_TOKENS) : pos]
            context = context[np.flatnonzero(context == end)[-1] + 1 :] if end in context else context
            before[head, number] = _one_line(rows.tokenizer.decode(context.tolist()))[-BEFORE:]
            token[head, number] = _one_line(rows.tokenizer.decode([int(tokens[row, pos])]))[:LONGEST]
            effect[head, number] = top.effect[number] / 1e6
    dims = ("restriction", "shown")
    data = {"before": (dims, before.astype(str)), "token": (dims, token.astype(str)), "effect": (dims, effect)}
    return xr.Dataset(data, {"restriction": names})


def _one_line(text: str) -> str:
    """The text with line breaks as signs, and an indent as one space."""
    return re.sub(" {2,}", " ", text.replace("\n", "⏎").replace("\t", "→"))
