"""Results of the previous version under today's keys."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import xarray as xr

    from experiments.cli.conversion.old_keys import Asked
    from experiments.results.cells import Cells

HELP = "give old results of bundled runs, of before kinds had versions, their new keys; recomputes one of each kind"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, nargs="+", help="results folders, such as results/mini-seed0")
    parser.add_argument("--unchecked", action="store_true", help="do not recompute any cell as a check")


def run(arguments: argparse.Namespace) -> None:
    for folder in arguments.folder:
        if not any((folder / "cells").glob("*.safetensors")):
            raise ValueError(f"{folder}: it holds no cells; give the results folder of a run")

    import torch
    from tqdm.auto import tqdm

    torch.set_num_threads(1)  # as in the workers: a cell's bits are to be the same wherever it is computed
    checked: set[tuple[str, str]] = set()
    for folder in arguments.folder:
        files = sorted((folder / "cells").glob("*.safetensors"))
        count = 0
        for file in tqdm(files, desc=str(folder), unit="cell"):
            count += _convert(folder, file, checked, not arguments.unchecked)
        print(f"converted {count} of {len(files)} cells in {folder}; the others are of other runs, texts or versions")


def _convert(folder: Path, file: Path, checked: set[tuple[str, str]], check: bool) -> int:
    """Writes one file under its new key and removes it; 0 where it is not of a bundled run as it is today."""
    from dataclasses import replace
    from tempfile import TemporaryDirectory

    from experiments import runs
    from experiments.cli.conversion.old_keys import asked
    from experiments.results.cells import Cells
    from experiments.storage import store

    old, dataset = store.read_file(file)
    name = str(old.get("run", ""))
    if not name or not (runs.ZOO / name).is_dir():
        return 0
    own = runs.open_run(runs.ZOO / name)
    request = asked(old, own)
    if request is None:
        return 0
    cells = Cells(folder, own, request.plan)
    if not _same_content(old, request, cells):
        return 0
    if check and (name, request.kind.name) not in checked:
        checked.add((name, request.kind.name))
        with TemporaryDirectory() as scratch:  # what the check computes on the way is no result
            _check(replace(cells, folder=Path(scratch)), request, dataset)
    store.write(folder, _new_key(cells, request), dataset)
    file.unlink()
    return 1


def _new_key(cells: "Cells", request: "Asked") -> dict:
    from experiments.results.keys import key, table_key

    if request.is_table:
        return table_key(cells.inputs, request.kind, request.steps)
    step = request.steps[0] if request.steps else None
    return key(cells.inputs, request.kind, step, request.parameters)


def _same_content(old: dict, request: "Asked", cells: "Cells") -> bool:
    """Whether weights and texts of the old key are those of the bundled run today."""
    weights = old.get("weights")
    if weights is not None:
        today = [cells.run.model_digest(step) for step in request.steps]
        if today != (weights if isinstance(weights, list) else [weights]):
            return False
    new = _new_key(cells, request)
    if old.get("reference") and old["reference"] not in str(new.get("reference")):
        return False
    texts = {cells.inputs.split(split).fingerprint for split in ("train", "test")}
    data = old["data"] if isinstance(old["data"], list) else [old["data"]]
    return set(data) <= texts


def _check(cells: "Cells", request: "Asked", stored: "xr.Dataset") -> None:
    """Raises ValueError where the last cell of what is stored is not what is measured today."""
    import numpy as np

    from experiments.measurements.full_llc import FULL_LLC

    step = request.steps[-1] if request.steps else None
    kind, table = request.kind, stored
    if kind.groups:
        name = str(request.parameters.get("restriction", "")) or str(stored.restriction.values[-1])
        measured = kind.compute(cells.inputs, step, cells, [name])[name]
        table = table.sel(restriction=name) if "restriction" in table.dims else table
    else:
        measured = kind.compute(cells.inputs, step, cells, **request.parameters)
    table = table.sel(step=step) if "step" in table.dims else table
    if kind is FULL_LLC:  # chains over all parameters part after a rounding: another processor agrees within errors
        apart = abs(float(measured.value - table.value)) / float(np.hypot(measured.se, table.se))
        if not apart < 4:
            raise ValueError(f"{cells.run.name}, {kind.name}: {apart:.1f} standard errors from what is measured today")
        return
    for variable in measured.data_vars:
        if variable in table and measured[variable].dtype.kind in "fiu":
            new, old = measured[variable].values, table[variable].values
            if not np.allclose(new, old, rtol=1e-4, atol=2e-5, equal_nan=True):
                raise ValueError(
                    f"{cells.run.name}, {kind.name}: {variable} is measured otherwise today (by "
                    f"{np.nanmax(np.abs(new - old)):.2g}): delete the folder's cells and measure again"
                )
