"""A text on a model as HTML: tokens by loss, the heads that matter for each, attention, the strongest paths."""

import numpy as np
import pandas as pd
from markupsafe import Markup

from experiments.investigate.own_text import WHITE
from experiments.investigate.prompts import attention_maps, token_table
from experiments.investigate.prompts.measures import PromptMeasures
from experiments.investigate.prompts.token_table import loss_cell, number_cell, word_cell
from experiments.pages.layout import elements
from experiments.pages.layout.elements import quiet
from experiments.pages.layout.page import Made, Page, section

HEADS = 24  # columns of the table: those with the largest effects
MAPS = 48  # pictures of attention: those of the heads with the largest effects
PATHS = 12
MOST_PATHS = 600  # that are cut without being asked for


def page(prompt: PromptMeasures) -> Page:
    """All of it."""
    title = prompt.snapshot.title
    said = (
        f"{elements.sentence(prompt.own.source)} The stronger a token's colour, the higher its loss; "
        f"{float(prompt.loss.mean()):.2f} nats a token."
    )
    return Page(
        title=f"A text on {title}",
        about="What a model does on one text: the loss of each token, the heads that matter for it, where heads "
        "attend, and the paths with the largest effects.",
        sections=[
            section("Which heads matter for which token", lambda: _heads(prompt)),
            section("Where the heads attend", lambda: _attention(prompt)),
            section("Paths with the largest effects", lambda: _paths(prompt)),
        ],
        made=Made("inv.on(text).save()", prompt.snapshot.cells.run.name),
        lead=quiet(said) + token_table.text_line(prompt.tokens[1:], prompt.loss.tolist(), _notes(prompt)),
    )


def _notes(prompt: PromptMeasures) -> list[str]:
    """What the model predicts in the place of each token."""
    first = prompt.summary
    return [f"predicted {word!r} ({share:.0%})" for word, share in zip(first.predicted, first.probability, strict=True)]


def _heads(prompt: PromptMeasures) -> Markup:
    largest_first = _largest(prompt.heads)
    chosen = [name for name in prompt.heads if name in largest_first[:HEADS]]
    effects, losses = prompt.heads[chosen].to_numpy(), prompt.loss.tolist()
    most, largest = max(losses), float(np.abs(effects).max())
    lines = []
    for token, loss, word, row in zip(prompt.tokens[1:], losses, prompt.summary.predicted, effects, strict=True):
        cells = [number_cell(float(value), largest, name) for name, value in zip(chosen, row, strict=True)]
        lines.append([word_cell(token), loss_cell(loss, most), word_cell(word), *cells])
    which = (
        "" if len(chosen) == len(largest_first) else f" (the {HEADS} of {len(largest_first)} heads that change most)"
    )
    said = (
        "What mean ablation of a head adds to the loss of a token, in nats: orange where the head helps, blue where it "
        f"does not{which}. Predicted: the model's likeliest token in its place. In tokens {WHITE}."
    )
    columns = ["token", "loss", "predicted", *chosen]
    return quiet(said) + token_table.table(columns, lines, "effects of heads on each token")


def _attention(prompt: PromptMeasures) -> Markup:
    attention = prompt.attention
    if len(attention) > MAPS:
        attention = attention.sel(head=_largest(prompt.heads)[:MAPS])
    count = "" if len(attention) == len(prompt.attention) else f" The {MAPS} heads that change losses most."
    said = (
        "One square for each head: queries downwards, keys across, stronger for more attention, the first token (BOS) "
        "at the top left. Below it, what the head gives on average to the first token, to the one before and to the "
        f"token itself.{count}"
    )
    return quiet(said) + attention_maps.pictures(attention)


def _paths(prompt: PromptMeasures) -> Markup:
    count = len(prompt.every_path)
    if count > MOST_PATHS:
        return quiet(f"The model has {count} direct paths: ask for them by .paths.")
    rows = []
    for name in _largest(prompt.paths)[:PATHS]:
        effects = prompt.paths[name].to_numpy()
        place = int(np.abs(effects).argmax())
        words = elements.code(repr(prompt.tokens[place + 1])) + f", position {place + 1}"
        size = elements.strong(f"{np.abs(effects).mean():.3f}")
        rows.append([name, size, f"{effects.mean():+.3f}", f"{effects[place]:+.2f}", words])
    said = (
        "What cutting a direct path (mean ablation of what its source sends to this target) adds to losses, in nats. "
        "Ordered by the mean over tokens of its magnitude, in bold, in which rises and falls do not cancel."
    )
    columns = ["path", "mean magnitude", "mean over tokens", "largest", "at the token"]
    return quiet(said) + elements.table(columns, rows, words=(0, 4))


def _largest(effects: pd.DataFrame) -> list[str]:
    """The columns, that with the largest mean absolute effect first."""
    return [str(name) for name in effects.abs().mean().sort_values(ascending=False).index]
