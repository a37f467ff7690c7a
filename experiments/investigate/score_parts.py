"""Why a head looks where it does: which of its sources' pairs make the scores of the keys that it attends to most."""

import numpy as np
import pandas as pd

from ablations.effects import clustered
from ablations.names import parse_head
from ablations.not_measurable import NotMeasurable
from ablations.running import as_in_workers
from circuits.score_sources import score_sources, strongest_places
from experiments.investigate.snapshot import Snapshot
from experiments.statistics.intervals import reach

ROWS, PLACES = 32, 400  # of held-out text, and the queries among its tokens whose choice is the surest
TOP = 8  # pairs


@as_in_workers()
def table(snapshot: Snapshot, head: str) -> pd.DataFrame:
    """One row a pair of sources, the largest magnitude first: query_source, key_source, contrast (how much the pair
    raises the score of the key that is attended to most above the mean of the other keys; before the softmax), and
    half_width of its 95% interval over rows of text. attrs: total, the whole contrast; attention, the mean probability.

    Raises NotMeasurable where no text is left.
    """
    text = snapshot.cells.inputs.free_text
    tokens = text.batch(slice(0, min(ROWS, len(text))))
    if len(tokens) < 2:
        raise NotMeasurable(f"{len(tokens)} rows of held-out text are left: errors over rows need two")
    where = parse_head(head)
    places = strongest_places(snapshot.weights, snapshot.cfg, tokens, where, PLACES)
    places = places[places[:, 1] > 0]
    found = score_sources(snapshot.weights, snapshot.cfg, tokens, where, places)
    rows = []
    for query in found.query_source.values.tolist():
        for key in found.key_source.values.tolist():
            one = clustered(found.contrast.sel(query_source=query, key_source=key).values, places[:, 0])
            half = float(reach(one.degrees)) * one.se
            rows.append({"query_source": query, "key_source": key, "contrast": one.value, "half_width": half})
    frame = pd.DataFrame(rows)
    frame = frame.reindex(frame.contrast.abs().sort_values(ascending=False, kind="stable").index)
    frame.attrs = {
        "total": float(found.contrast.sum(("query_source", "key_source")).mean()),
        "attention": float(found.attention.mean()),
        "places": len(places),
        "rows": len(np.unique(places[:, 0])),
    }
    return frame
