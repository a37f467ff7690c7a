"""Composition scores of every pair of heads, and what random matrices of the same shapes give."""

import numpy as np
import xarray as xr

from ablations import forward
from ablations.names import all_heads, head_name
from ablations.paths import VIAS
from circuits import composition
from experiments.results.cells import Cells
from experiments.results.committed import whole
from experiments.results.inputs import Inputs
from experiments.results.kind import Kind, Parameters


def measure(inputs: Inputs, step: int, cells: Cells) -> xr.Dataset:
    """composition [source, target, via] of pairs in different layers (NaN for others), folded weights; baseline and
    baseline_sd of random matrices.
    """
    model = inputs.model(step)
    cfg = model.cfg
    values = composition.composition(forward.weights_of(model), cfg).reshape(cfg.n_layers * cfg.n_heads, -1, len(VIAS))
    baseline = composition.random_baseline(cfg)
    names = [head_name(head) for head in all_heads(cfg)]
    data = {
        "composition": (("source", "target", "via"), values.numpy()),
        "baseline": ((), np.array(baseline.mean)),
        "baseline_sd": ((), np.array(baseline.sd)),
    }
    return xr.Dataset(data, {"source": names, "target": names, "via": list(VIAS)}, {"processing": "folded"})


def seconds(inputs: Inputs, parameters: Parameters) -> float:
    """Rough seconds: every pair of heads, each as large as it is wide."""
    cfg = inputs.run.model_config()
    return 2e-4 * (cfg.n_layers * cfg.n_heads) ** 2 * (cfg.d_head / 32) ** 2


COMPOSITION = Kind("composition", (7,), measure, splits=(), seconds=seconds, keeps=whole)
