"""A map of tokens made up for a run whose susceptibilities are not sampled, which would take minutes."""

import numpy as np
import xarray as xr

from experiments.measurements.susceptibilities import probe_classes
from experiments.measurements.token_map import TOKEN_MAP
from experiments.results.cells import Cells
from experiments.results.keys import key
from experiments.storage import store
from llc import token_map


def keep_map(cells: Cells) -> xr.Dataset:
    """Keeps the cell of the map at the last checkpoint, and returns it: the first component parts words from others."""
    generator, classes = np.random.default_rng(0), probe_classes(cells.inputs)
    cfg = cells.run.model_config()
    names = [f"L{layer}H{head}" for layer in range(cfg.n_layers) for head in range(cfg.n_heads)]
    planted = 4.0 * (classes == "word start") + generator.normal(size=len(classes))
    data: dict = {}
    for name, size in (("value", 1.0), ("noise", 0.1)):
        values = size * planted + generator.normal(size=(len(names), len(classes)))
        data[name] = (("restriction", "token"), token_map.standardised(values).astype(np.float16))
    data["agreement"] = ("restriction", np.linspace(0.9, 0.5, len(names)))
    data["noise_agreement"] = ("restriction", np.linspace(0.3, 0.2, len(names)))
    coords = {"restriction": names, "layer": ("restriction", [int(name[1]) for name in names])}
    made = xr.Dataset(data, coords, {"probes": "made up"})
    store.keep(cells.folder, key(cells.inputs, TOKEN_MAP, cells.run.steps[-1], {}), made)
    return made
