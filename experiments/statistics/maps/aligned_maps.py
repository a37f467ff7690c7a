"""Flat maps of the same tokens at several checkpoints, aligned so that a token that changes little stays in its place.

By UMAP (McInnes, Healy and Melville, arXiv:1802.03426), as arXiv:2508.00331 maps susceptibilities over training. It
needs the extra `map`. Distances on such a map are not to be read off, and what lies together may do so by chance: every
map is shown beside that of a control, and what is claimed is measured where the map was made from (neighbours.py).
"""

import importlib.util
import warnings

import numpy as np
from jaxtyping import Float

from ablations.not_measurable import NotMeasurable

NEIGHBOURS = 45  # of each token, on which the map rests


def check_installed() -> None:
    """Raises NotMeasurable where umap-learn is not installed."""
    if importlib.util.find_spec("umap") is None:
        raise NotMeasurable('a map over checkpoints needs umap-learn: pip install -c constraints.txt -e ".[map]"')


def aligned(
    vectors: list[Float[np.ndarray, "token head"]], neighbours: int = NEIGHBOURS, seed: int = 0
) -> list[Float[np.ndarray, "token 2"]]:
    """The place of every token at each checkpoint; row i is the same token in all."""
    check_installed()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that seeds mean one thread
        from umap import AlignedUMAP

        same = {number: number for number in range(len(vectors[0]))}
        fitted = AlignedUMAP(n_neighbors=min(neighbours, len(vectors[0]) - 1), random_state=seed).fit(
            vectors, relations=[same] * (len(vectors) - 1)
        )
    return [np.asarray(places) for places in fitted.embeddings_]
