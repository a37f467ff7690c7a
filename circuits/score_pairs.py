"""Which pairs of sources make a head look where it looks: `score_sources`, averaged over places of text with errors."""

import numpy as np
import pandas as pd
from jaxtyping import Int64
from scipy import stats
from torch import Tensor

from ablations.effects import clustered
from ablations.forward import Weights
from ablations.models import Config
from ablations.names import Head
from ablations.running import as_in_workers
from circuits.score_sources import score_sources


@as_in_workers()
def score_pairs(
    weights: Weights,
    cfg: Config,
    tokens: Int64[Tensor, "row pos"],
    head: Head,
    places: Int64[np.ndarray, "place three"],
) -> pd.DataFrame:
    """One row a pair of sources, the largest magnitude first: query_source, key_source, contrast (how much the pair
    raises the score of the key at a place above the mean of the other keys; before the softmax), and half_width of its
    95% interval over rows of text.

    places: row, query's position and key's position of each, as `score_sources.strongest_places` gives them; a query
    that sees one key alone has no contrast and is left out. attrs: total, the whole contrast; attention, the mean
    probability; places and rows, how many. Raises ValueError as `score_sources` does, and NotMeasurable for places in
    fewer than two rows of text.
    """
    places = places[places[:, 1] > 0]
    found = score_sources(weights, cfg, tokens, head, places)
    rows = []
    for query in found.query_source.values.tolist():
        for key in found.key_source.values.tolist():
            one = clustered(found.contrast.sel(query_source=query, key_source=key).values, places[:, 0])
            half = float(stats.t.ppf(0.975, one.degrees)) * one.se
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
