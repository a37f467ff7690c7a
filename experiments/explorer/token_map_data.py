"""The map of tokens as the page draws it: each a vector of the heads' susceptibilities, and the same of Gaussian draws.

It is drawn where susceptibilities are at hand: committed for the bundled runs, or sampled by the verb sweep.
"""

import base64
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float

from circuits import token_classes
from experiments.figures.susceptibilities import CLASS_COLORS
from experiments.measurements.susceptibilities import probe_classes, probe_rows
from experiments.results.cells import Cells
from experiments.study.study import Study
from llc import token_map

SHOWN = 2  # components
SOURCES = {"value": "agreement", "noise": "noise_agreement"}  # posterior and Gaussian draws, and how well halves agree


def of_run(cells: Cells) -> dict[str, Any]:
    """step; heads; rows (tokens of the probes' text; all but the first of a row is a probe); classes (name, color),
    class_of [probe]; and by source ("value": the posterior, "noise": Gaussian draws, which the loss has no influence
    on): share [component] of the variance, loadings [component, head], agreement [head], and packed as float16 scores
    [component, probe], in standard deviations of the component, and values [head, probe], in those of the head.

    Raises NotMeasurable where susceptibilities are not sampled.
    """
    found, rows = Study((cells,)).token_map(cells), probe_rows(cells.inputs)
    names = list(token_classes.CLASSES)
    return {
        "step": int(found.step),
        "heads": found.restriction.values.tolist(),
        "rows": np.asarray(rows.tokens).tolist(),
        "classes": [{"name": name, "color": CLASS_COLORS[name]} for name in names],
        "class_of": [names.index(name) for name in probe_classes(cells.inputs).tolist()],
        **_by_source(found),
    }


def _by_source(found: xr.Dataset) -> dict[str, Any]:
    """Both maps on components in one order and with one sign."""
    whole = token_map.components(found["value"].values.astype(float), SHOWN)
    parts = {}
    for name, agreement in SOURCES.items():
        standard = found[name].values.astype(float)
        at = token_map.matched(standard, whole)
        parts[name] = {
            "share": [float(f"{share:.4g}") for share in at.shares],
            "loadings": np.round(at.loadings, 4).tolist(),
            "agreement": np.round(found[agreement].values.astype(float), 3).tolist(),
            "scores": packed(at.scores / at.scores.std(1, keepdims=True)),
            "values": packed(standard),
        }
    return parts


def packed(values: Float[np.ndarray, "row probe"]) -> str:
    """Numbers in 16 bits, rows one after another, in base64: what `weights.js` unpacks."""
    return base64.b64encode(np.ascontiguousarray(values).astype("<f2").tobytes()).decode()
