"""From where to where the paths that were found carry a task (`circuits.positions`): a cell, as it takes some runs for
every pair of roles.
"""

import pandas as pd
import xarray as xr

from circuits import positions
from circuits.stability import STABLE
from circuits.tasks import Task
from experiments.results.cells import Cells
from experiments.results.inputs import Inputs
from experiments.results.kind import Kind, Parameters
from experiments.tasks import path_effects, stability, task_prompts
from experiments.tasks.path_effects import PATH_EFFECTS

COLUMNS = ("path", "written", "read", "effect", "se", "half_width", "p", "prompts", "of_path")


def table(cells: Cells, task: str | Task, step: int) -> xr.Dataset:
    """What `measure` says, computed here where it is missing."""
    return cells.get(POSITIONS, step, **path_effects.parameters(cells, task))


def frame(measured: xr.Dataset) -> pd.DataFrame:
    """The rows of `measure`, the largest effect first."""
    rows = measured.to_dataframe()[list(COLUMNS)]
    by_size = rows.effect.abs().sort_values(ascending=False, kind="stable").index
    return rows.reindex(by_size).reset_index(drop=True)


def measure(inputs: Inputs, step: int, cells: Cells, task: str, prompts: str) -> xr.Dataset:
    """path, written, read (roles of positions), effect, se, half_width of its 95% interval, p, prompts and of_path (the
    effect of the path at all positions) [row], as `circuits.positions` has them, of the paths that were found; no rows
    where none was.
    """
    model = inputs.model_here(step)
    chosen = stability.circuit(cells, step, model.cfg, task=task, prompts=prompts)
    if not chosen:
        numbers = {name: ("row", [0.0][:0]) for name in COLUMNS[3:]}
        return xr.Dataset(numbers | {name: ("row", [""][:0]) for name in COLUMNS[:3]})
    rows = positions.path_positions(model, task_prompts.of_cell(cells, task, prompts), chosen).to_dataframe()
    effects = cells.get(PATH_EFFECTS, step, task=task, prompts=prompts).effect
    whole = effects.sel(path=rows.path.to_list()).values
    return xr.Dataset({name: ("row", values.to_numpy()) for name, values in rows.assign(of_path=whole).items()})


def key_parts(inputs: Inputs, step: int | None) -> dict:
    """By which effects and how often paths were found."""
    return {"effects": list(PATH_EFFECTS.version), "stable": STABLE} | path_effects.nodes(inputs, step)


def seconds(inputs: Inputs, parameters: Parameters) -> float:
    """Rough seconds: there are fewer paths than candidates, each patched once for some roles."""
    return path_effects.seconds(inputs, parameters)


POSITIONS = Kind("positions", (1,), measure, splits=(), seconds=seconds, also=key_parts)
