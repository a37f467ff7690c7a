"""A safetensors file that is written whole or not at all and says when it was damaged.

Checkpoints and result cells are such files: named arrays, JSON metadata, and a checksum over both. No pickle.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from experiments.storage.files import as_json, write_bytes

HEADER = "devcircuits"


class DamagedFile(ValueError):
    """The file is truncated, altered or not one of ours."""


def write(path: Path, arrays: Mapping[str, np.ndarray], metadata: Mapping) -> None:
    """Writes named arrays, and metadata of JSON values, so that a reader sees the whole file or none."""
    text = as_json(dict(metadata), sort_keys=True)
    contiguous = {name: np.ascontiguousarray(array).reshape(array.shape) for name, array in sorted(arrays.items())}
    # one entry only: safetensors writes several in no fixed order, and the same values are to be the same bytes
    header = json.dumps({"metadata": text, "sha256": _checksum(contiguous, text)})
    write_bytes(path, save(contiguous, metadata={HEADER: header}))


def read(path: Path) -> tuple[dict[str, np.ndarray], dict]:
    """The arrays and the metadata; raises DamagedFile (a ValueError) when they are not what was written."""
    try:
        with safe_open(path, framework="np") as file:
            header = json.loads((file.metadata() or {}).get(HEADER, "{}"))
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise DamagedFile(f"{path} is not a whole safetensors file ({error}): delete it or restore it") from None
    text = header.get("metadata") if isinstance(header, dict) else None
    if not isinstance(text, str) or header.get("sha256") != _checksum(arrays, text):
        raise DamagedFile(f"{path} does not match its checksum: delete it or restore it")
    return arrays, json.loads(text)


def _checksum(arrays: Mapping[str, np.ndarray], text: str) -> str:
    """The sha256 of the metadata and of every array's name, type, shape and bytes."""
    digest = hashlib.sha256(text.encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
