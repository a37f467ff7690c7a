"""A text with and without parts of the model, as HTML: what becomes of each token's loss and of what is predicted."""

import pandas as pd

from experiments.investigate.prompts import token_table
from experiments.investigate.prompts.token_table import loss_cell, number_cell, word_cell
from experiments.pages.layout.page import Made, Page, Section

WORDS = ["predicted", "predicted_without"]


def page(title: str, about: str, change: pd.DataFrame, made: Made) -> Page:
    """change: loss, loss_without, change, predicted, predicted_without, by position and token."""
    most, largest = float(change[["loss", "loss_without"]].max().max()), float(change.change.abs().max())
    lines = []
    tokens, numbers = change.index.get_level_values("token"), change[["loss", "loss_without", "change"]].to_numpy()
    for token, (loss, without, rise), words in zip(tokens, numbers, change[WORDS].to_numpy(), strict=True):
        cells = [word_cell(token), loss_cell(loss, most), loss_cell(without, most)]
        lines.append([*cells, number_cell(rise, largest, "change"), *map(word_cell, words)])
    columns = ["token", "loss", "without", "change", "predicted", "predicted without"]
    said = (
        f"{about}. Losses in nats, and what mean ablation adds to them: {float(change.change.mean()):+.3f} nats a "
        "token. Orange: what was removed helps there."
    )
    return Page(
        title, said, [Section("Every token", token_table.table(columns, lines, "losses with and without"))], made
    )
