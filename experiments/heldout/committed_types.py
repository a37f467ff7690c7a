"""The committed types of the bundled runs' heads: beside the committed sweep, since they take minutes.

They are lighter than what was computed: what is told of single multigrams has 32 bits, but for the p-values and the
false-discovery rates, which decide. What they rest on is in the key, as for every cell.
"""

from pathlib import Path

import numpy as np
import xarray as xr

from experiments.results import committed

WHOLE = ("p", "multigram_q")


def read(key: dict) -> xr.Dataset | None:
    """The table of a key; None when it was not committed."""
    light = committed.read(_own(key))
    return None if light is None else _cast(light, {"f": np.dtype(np.float64), "i": np.dtype(np.int64)})


def write(key: dict, table: xr.Dataset) -> Path:
    """Commits a table of `head_types`."""
    light = _cast(table, {"f": np.dtype(np.float32), "i": np.dtype(np.int32)})
    return committed.write(_own(key), light)


def _own(key: dict) -> dict:
    return key | {"kind": "swept_types"}


def _cast(table: xr.Dataset, types: dict[str, np.dtype]) -> xr.Dataset:
    """What has a dimension `multigram`, in these types of numbers."""
    chosen = [n for n, values in table.data_vars.items() if "multigram" in values.dims and n not in WHOLE]
    return table.assign({name: table[name].astype(types[table[name].dtype.kind]) for name in chosen})
