"""A text on a model as HTML: tokens by loss, the heads that matter for each, attention, the strongest paths."""

import html

import numpy as np
import pandas as pd

from experiments.investigate.prompts import attention_maps, token_table
from experiments.investigate.prompts.measures import PromptMeasures
from experiments.investigate.prompts.token_table import loss_cell, number_cell, word_cell
from experiments.pages import shell
from experiments.pages.shell import section

HEADS = 24  # columns of the table: those with the largest effects
MAPS = 48  # pictures of attention: those of the heads with the largest effects
PATHS = 12
MOST_PATHS = 600  # that are cut without being asked for


def shown(prompt: PromptMeasures) -> str:
    """All of it, as it stands in a notebook's cell."""
    parts = [
        f"<h1>{html.escape(prompt.snapshot.title)}</h1>",
        f"<p class=quiet>{shell.sentence(prompt.own.source)} The stronger a token's colour, the higher its loss; "
        f"{float(prompt.loss.mean()):.2f} nats a token.</p>",
        token_table.text_line(prompt.tokens[1:], prompt.loss.tolist(), _notes(prompt)),
        section("Which heads matter for which token", lambda: _heads(prompt)),
        section("Where the heads attend", lambda: _attention(prompt)),
        section("Paths with the largest effects", lambda: _paths(prompt)),
    ]
    return shell.fragment("\n".join(parts), token_table.RULES + attention_maps.RULES)


def _notes(prompt: PromptMeasures) -> list[str]:
    """What the model predicts in the place of each token."""
    first = prompt.summary
    return [f"predicted {word!r} ({share:.0%})" for word, share in zip(first.predicted, first.probability, strict=True)]


def _heads(prompt: PromptMeasures) -> str:
    largest_first = _largest(prompt.heads)
    chosen = [name for name in prompt.heads if name in largest_first[:HEADS]]
    effects, losses = prompt.heads[chosen].to_numpy(), prompt.loss.tolist()
    most, largest = max(losses), float(np.abs(effects).max())
    lines = []
    for token, loss, word, row in zip(prompt.tokens[1:], losses, prompt.summary.predicted, effects, strict=True):
        cells = [number_cell(float(value), largest, name) for name, value in zip(chosen, row, strict=True)]
        lines.append("".join([word_cell(token), loss_cell(loss, most), word_cell(word), *cells]))
    which = (
        "" if len(chosen) == len(largest_first) else f" (the {HEADS} of {len(largest_first)} heads that change most)"
    )
    return (
        "<p class=quiet>What mean ablation of a head adds to the loss of a token, in nats: orange where the head "
        f"helps, blue where it does not{which}. Predicted: the model's likeliest token in its place.</p>"
        + token_table.table(["token", "loss", "predicted", *chosen], lines, "effects of heads on each token")
    )


def _attention(prompt: PromptMeasures) -> str:
    attention = prompt.attention
    if len(attention) > MAPS:
        attention = attention.sel(head=_largest(prompt.heads)[:MAPS])
    count = "" if len(attention) == len(prompt.attention) else f" The {MAPS} heads that change losses most."
    return (
        "<p class=quiet>One square for each head: queries downwards, keys across, darker for more attention, the first "
        f"token (BOS) at the top left. Below it, what the head gives on average to the first token, to the one before "
        f"and to the token itself.{count}</p>" + attention_maps.pictures(attention)
    )


def _paths(prompt: PromptMeasures) -> str:
    count = len(prompt.every_path)
    if count > MOST_PATHS:
        return f"<p class=quiet>The model has {count} direct paths: ask for them by <code>.paths</code>.</p>"
    rows = []
    for name in _largest(prompt.paths)[:PATHS]:
        effects = prompt.paths[name].to_numpy()
        place = int(np.abs(effects).argmax())
        words = f"<code>{html.escape(repr(prompt.tokens[place + 1]))}</code>, position {place + 1}"
        rows.append([html.escape(name), f"{effects.mean():+.3f}", f"{effects[place]:+.2f}", words])
    said = "What cutting a direct path (mean ablation of what its source sends to this target) adds to losses, in nats."
    columns = ["path", "mean over tokens", "largest", "at the token"]
    return f"<p class=quiet>{said}</p>" + shell.table(columns, rows, words=(0, 3))


def _largest(effects: pd.DataFrame) -> list[str]:
    """The columns, that with the largest mean absolute effect first."""
    return [str(name) for name in effects.abs().mean().sort_values(ascending=False).index]
