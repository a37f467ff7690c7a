"""The committed sweep: results of the bundled runs that take hours, beside the program.

Made by `python -m experiments sweep --commit`. It is read where the same numbers would be computed: a key names
weights, configuration, text, settings and estimator by their content, so another text finds nothing.
"""

from pathlib import Path

import numpy as np
import xarray as xr

from experiments.storage import store

FOLDER = Path(__file__).parent / "committed_sweep"
WIDE = {"f": np.dtype(np.float64), "i": np.dtype(np.int64)}


def read(key: dict) -> xr.Dataset | None:
    """The dataset of a key, its numbers in 64 bits; None when it was not committed."""
    stored = store.read(FOLDER, key)
    if stored is None:
        return None
    return stored.assign(
        {name: values.astype(WIDE.get(values.dtype.kind, values.dtype)) for name, values in stored.items()}
    )


def write(key: dict, dataset: xr.Dataset) -> Path:
    """Commits a dataset; returns its file."""
    store.write(FOLDER, key, dataset)
    return store.cell_path(FOLDER, key)


def without_traces(table: xr.Dataset) -> xr.Dataset:
    """A table of learning coefficients without the draws of its chains."""
    light = table.drop_vars([name for name in table.data_vars if str(name).startswith("trace_")])
    return light.drop_dims([dim for dim in light.dims if dim in ("draw", "check")])
