"""The committed sweep: learning coefficients of the bundled runs that take hours, without their traces.

Made by `python -m experiments sweep`, one file for a run, a text, a loss, a gauge and settings. It is read where the
same numbers would be computed: the key names weights, text, settings and estimator, so another text finds nothing.
"""

from pathlib import Path

import xarray as xr

from experiments.storage import store

FOLDER = Path(__file__).parent / "committed_sweep"


def read(key: dict) -> xr.Dataset | None:
    """The table of a key, without traces; None when it was not committed."""
    return store.read(FOLDER, key)


def write(key: dict, table: xr.Dataset) -> Path:
    """Stores a table without its traces."""
    light = table.drop_vars([name for name in table.data_vars if str(name).startswith("trace_")])
    light = light.drop_dims([dim for dim in light.dims if dim in ("draw", "check")])
    store.write(FOLDER, key, light)
    return store.cell_path(FOLDER, key)
