"""Results on disk: one cell is one computed dataset under its key. Everything resumable goes through here.

A key is a plain dict that names all that the values depend on. A cell is a checksummed safetensors file, written whole;
a damaged or foreign one is set aside, named in the log, and computed again.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import xarray as xr

from circuits.json_values import with_nan
from experiments.storage import tensorfile
from experiments.storage.files import as_json

log = logging.getLogger(__name__)


def fingerprint(**parts: object) -> str:
    """The sha256 of the parts as canonical JSON, in hexadecimal digits; arrays count by type, shape and bytes.

    Raises TypeError for a part that is neither a JSON value nor a numeric array.
    """
    digest = hashlib.sha256()

    def plain(value: object) -> object:
        array = np.asarray(value)
        if array.dtype.kind not in "biufc":
            raise TypeError(f"{type(value).__name__} has no fingerprint: use JSON values and numeric arrays")
        digest.update(array.tobytes())
        return [array.dtype.str, list(array.shape)]

    text = json.dumps(parts, sort_keys=True, default=plain)
    digest.update(text.encode())
    return digest.hexdigest()


def cell_path(results: Path, key: Mapping) -> Path:
    """The file of a key's cell: its fingerprint names it; kind, step and restriction are there for a person to read."""
    readable = [str(key[part]) for part in ("kind", "step", "restriction") if part in key]
    return results / "cells" / ("_".join([*readable, fingerprint(**key)[:12]]) + ".safetensors")


def write(results: Path, key: Mapping, dataset: xr.Dataset) -> None:
    """Stores a dataset; its text coordinates go into the metadata."""
    arrays, described = {}, {}
    for name, variable in dataset.variables.items():
        values = np.asarray(variable.values)
        entry: dict = {"dims": list(variable.dims), "coordinate": name in dataset.coords}
        if values.dtype.kind in "UOT":
            entry["text"], entry["shape"] = [str(value) for value in values.ravel()], list(values.shape)
        else:
            arrays[str(name)] = values
        described[str(name)] = entry
    tensorfile.write(
        cell_path(results, key), arrays, {"key": dict(key), "variables": described, "attrs": dataset.attrs}
    )


def read(results: Path, key: Mapping) -> xr.Dataset | None:
    """The dataset of a key; None when there is none, or when its file was damaged and has been set aside."""
    path = cell_path(results, key)
    if not path.exists():
        return None
    try:
        arrays, metadata = tensorfile.read(path)
        if metadata.get("key") != json.loads(as_json(dict(key))):
            raise tensorfile.DamagedFile(f"{path.name} holds another cell")
        return _dataset(arrays, metadata)
    except tensorfile.DamagedFile as error:
        aside = path.with_suffix(".damaged")
        path.replace(aside)
        log.warning("%s; set aside as %s and computed again", error, aside.name)
        return None


def read_file(path: Path) -> tuple[dict, xr.Dataset]:
    """The key and the dataset of a cell's file; raises DamagedFile (a ValueError) for any other file."""
    arrays, metadata = _checked(path)
    return metadata["key"], _dataset(arrays, metadata)


def read_key(path: Path) -> dict:
    """The key alone, which takes a tenth of the time; raises as `read_file` does."""
    return _checked(path)[1]["key"]


def _checked(path: Path) -> tuple[dict[str, np.ndarray], dict]:
    """The arrays and the metadata of a cell's file."""
    arrays, metadata = tensorfile.read(path)
    if not {"key", "variables", "attrs"} <= set(metadata):
        raise tensorfile.DamagedFile(f"{path.name} is a file of tensors, but no cell: delete it, or give a cell's file")
    return arrays, metadata


def cached(results: Path, key: Mapping, compute: Callable[[], xr.Dataset]) -> xr.Dataset:
    """The dataset of a key, computed and stored when it is not there."""
    stored = read(results, key)
    if stored is None:
        keep(results, key, compute())
        stored = read(results, key)
        assert stored is not None
    return stored


def keep(results: Path, key: Mapping, dataset: xr.Dataset) -> None:
    """Stores a dataset, except where somebody else has done so since it was found missing."""
    if read(results, key) is None:
        write(results, key, dataset)


def _dataset(arrays: dict[str, np.ndarray], metadata: dict) -> xr.Dataset:
    """The dataset that `write` took apart."""
    data: dict = {}
    coords: dict = {}
    for name, entry in metadata["variables"].items():
        values = np.array(entry["text"]).reshape(entry["shape"]) if "text" in entry else arrays[name]
        (coords if entry["coordinate"] else data)[name] = (entry["dims"], values)
    return xr.Dataset(data, coords, with_nan(metadata["attrs"]))
