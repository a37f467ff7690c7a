"""Scores of paths that another tool wrote: EAP-IG's `Graph.to_json` (github.com/hannamw/EAP-IG), which the MIB
benchmark uses too, or `circuits.graph.mib`.

As circuits they are read by `circuits.graph.from_mib`; here their scores stand in the order of paths, so that
`compare` holds them against exact effects. Edges that are none of these paths may have scores, and are left.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from ablations.paths import OUTPUT, Path, ends, path_name
from circuits.mib_names import edge_name


def scores(record: Mapping[str, Any], paths: Sequence[Path]) -> Float[np.ndarray, " path"]:
    """The score of each path in the JSON, with the sign that it has there: EAP-IG multiplies the change from clean to
    corrupted, as here, with the gradient of what it was given, which mostly is a loss (then a positive score carries
    the task). Raises ValueError for another kind of record, and for paths that have no score in it.
    """
    try:
        found = {name: about["score"] for name, about in record["edges"].items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not scores as EAP-IG and MIB write them ({error!r}): edges are needed") from None
    names = [edge_name(*ends(path), path.via or OUTPUT) for path in paths]
    for path, name in zip(paths, names, strict=True):
        if found.get(name) is None or not np.isfinite(found[name]):
            raise ValueError(f"no score of {path_name(path)} ({name}): score all edges of this model")
    return np.array([found[name] for name in names], dtype=np.float64)
