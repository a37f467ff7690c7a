"""Why a head looks where it does: which of its sources' pairs make the scores of the keys that it attends to most."""

import pandas as pd

from ablations.names import parse_head
from ablations.not_measurable import NotMeasurable
from ablations.running import as_in_workers
from circuits.score_pairs import score_pairs
from circuits.score_sources import strongest_places
from experiments.investigate.snapshot import Snapshot

ROWS, PLACES = 32, 400  # of held-out text, and the queries among its tokens whose choice is the surest
TOP = 8  # pairs


@as_in_workers()
def table(snapshot: Snapshot, head: str) -> pd.DataFrame:
    """`circuits.score_pairs` at the places of held-out text at which the head attends most.

    Raises NotMeasurable where no text is left.
    """
    text = snapshot.cells.inputs.free_text
    tokens = text.batch(slice(0, min(ROWS, len(text))))
    if len(tokens) < 2:
        raise NotMeasurable(f"{len(tokens)} rows of held-out text are left: errors over rows need two")
    where = parse_head(head)
    places = strongest_places(snapshot.weights, snapshot.cfg, tokens, where, PLACES)
    return score_pairs(snapshot.weights, snapshot.cfg, tokens, where, places)
