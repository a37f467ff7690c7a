"""The committed sweep: results of the bundled runs that take hours, beside the program.

Made by `devcircuits sweep --commit`. It is read where the same numbers would be computed: a key names
weights, configuration, text, settings and estimator by their content, so another text finds nothing. A table over
checkpoints is read as a whole, and cell by cell by whoever asks for other checkpoints with some of the same.
"""

import json
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xarray as xr

from experiments.storage import store
from experiments.storage.tensorfile import DamagedFile

FOLDER = Path(__file__).parent / "committed_sweep"
WIDE = {"f": np.dtype(np.float64), "i": np.dtype(np.int64)}
# What the key of a table over checkpoints has instead of a cell's, and what only a cell's has (`keys.table_key`).
OF_STEPS = frozenset({"kind", "step", "steps", "weights", "reference", "restriction"})


class File(NamedTuple):
    """A file as it was last changed, so that a changed one is read again."""

    path: Path
    changed: int  # nanoseconds


def read(key: dict) -> xr.Dataset | None:
    """The dataset of a key, its numbers in 64 bits, by itself or out of a table; None when it was not committed."""
    stored = store.read(FOLDER, key)
    return _out_of_table(key) if stored is None else _wide(stored)


def holds(key: dict) -> bool:
    """Whether `read` finds something."""
    return _place(key) is not None or store.read(FOLDER, key) is not None


def write(key: dict, dataset: xr.Dataset) -> Path:
    """Commits a dataset; returns its file."""
    store.write(FOLDER, key, dataset)
    return store.cell_path(FOLDER, key)


def whole(table: xr.Dataset) -> xr.Dataset:
    """All of a table, of kinds that hold nothing but what is kept."""
    return table


def without_traces(table: xr.Dataset) -> xr.Dataset:
    """A table of learning coefficients without the draws of its chains."""
    light = table.drop_vars([name for name in table.data_vars if str(name).startswith("trace_")])
    return light.drop_dims([dim for dim in light.dims if dim in ("draw", "check")])


def _wide(dataset: xr.Dataset) -> xr.Dataset:
    """The same numbers in 64 bits."""
    kinds = {name: WIDE.get(values.dtype.kind, values.dtype) for name, values in dataset.items()}
    narrow = [name for name, kind in kinds.items() if dataset[name].dtype != kind]
    return dataset.assign({name: dataset[name].astype(kinds[name]) for name in narrow})


def _out_of_table(key: dict) -> xr.Dataset | None:
    """The cell of a key out of the committed table that has its checkpoint, where one has."""
    found = _place(key)
    if found is None:
        return None
    file, place = found
    row = _table(file).isel(step=place, drop=True)
    if "restriction" not in key:
        return row
    alone = row.sel(restriction=key["restriction"], drop=True).drop_vars(["layer", "head"], errors="ignore")
    return alone.assign_attrs(restriction=key["restriction"])


def _place(key: dict) -> tuple[File, int] | None:
    """The file of the committed table that has the checkpoint of a key, and its place there."""
    files = sorted((FOLDER / "cells").glob(f"{key['kind']}_table_*.safetensors"))
    rows = _rows(tuple(File(path, path.stat().st_mtime_ns) for path in files))
    return rows.get(_name(key, key.get("step"), key.get("weights"), key.get("reference")))


@lru_cache(maxsize=8)
def _rows(files: tuple[File, ...]) -> dict[str, tuple[File, int]]:
    """Every checkpoint of the tables in these files, by what it depends on: the file, and its place there."""
    rows: dict[str, tuple[File, int]] = {}
    for file in files:
        with suppress(DamagedFile):  # who asks for the whole table is told of it
            key = store.read_key(file.path)
            references = key.get("reference", [None] * len(key["steps"]))
            for place, about in enumerate(zip(key["steps"], key["weights"], references, strict=True)):
                rows.setdefault(_name(key, *about), (file, place))
    return rows


@lru_cache(maxsize=32)
def _table(file: File) -> xr.Dataset:
    """The table in a file."""
    table = _wide(store.read_file(file.path)[1])
    table.attrs.pop("weights", None)  # of the first checkpoint alone
    return table


def _name(key: dict, step: object, weights: object, reference: object) -> str:
    """What a checkpoint's row depends on: what the key of a table has in common with those of its cells, and these."""
    shared = {name: part for name, part in key.items() if name not in OF_STEPS}
    return json.dumps([shared, step, weights, reference], sort_keys=True)
