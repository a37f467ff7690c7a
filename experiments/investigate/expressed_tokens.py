"""The held-out tokens that a head expresses and suppresses most, by its susceptibilities, where these were measured."""

import numpy as np
import pandas as pd

from ablations.not_measurable import NotMeasurable
from experiments.figures.files import figure_command
from experiments.investigate.snapshot import Snapshot
from experiments.measurements.susceptibilities import SUSCEPTIBILITIES, probe_rows

TOP, BEFORE = 5, 24  # tokens of each sign, and tokens shown before each


def tokens(snapshot: Snapshot, head: str) -> pd.DataFrame:
    """One row a token, first those that it expresses (the most negative values): value, half_width (of the 95%
    interval) and noise (what Gaussian draws alone give), in nats^2; target, and context: the text before it.

    Only tokens whose interval leaves out 0. Raises NotMeasurable where no figure measured them yet.
    """
    cells = snapshot.cells
    found = cells.read(SUSCEPTIBILITIES, snapshot.step, restriction=head)
    if found is None:
        command = figure_command(cells, "susceptibilities")
        raise NotMeasurable(f"susceptibilities take minutes a model: {command} measures them at the last checkpoint")
    rows = probe_rows(cells.inputs)
    text, decode = np.asarray(rows.tokens), rows.tokenizer.decode
    value, half = found["value"].values, found["half_width"].values
    ranked = []
    for sign in (-1, 1):
        sure = np.where(sign * value > half, sign * value, -np.inf).ravel()
        order = np.argsort(-sure, kind="stable")[:TOP]
        ranked += [divmod(int(place), value.shape[1]) for place in order if np.isfinite(sure[place])]
    return pd.DataFrame(
        {
            "value": float(value[row, place]),
            "half_width": float(half[row, place]),
            "noise": float(found["noise"].values[row, place]),
            "target": decode([int(text[row, place + 1])]),
            "context": decode(text[row, max(0, place + 1 - BEFORE) : place + 1].tolist()),
        }
        for row, place in ranked
    )
