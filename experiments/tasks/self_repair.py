"""What later heads take over when a head is patched on a task (`circuits.self_repair`), one cell per checkpoint."""

import xarray as xr

from ablations import forward
from circuits import self_repair
from circuits.tasks import Task
from experiments.results.cells import Cells
from experiments.results.inputs import Inputs
from experiments.results.kind import Kind, Parameters
from experiments.tasks import path_effects, task_prompts


def table(cells: Cells, task: str | Task, step: int) -> xr.Dataset:
    """What `measure` says, computed here where it is missing."""
    return cells.get(SELF_REPAIR, step, **path_effects.parameters(cells, task))


def measure(inputs: Inputs, step: int, cells: Cells, task: str, prompts: str) -> xr.Dataset:
    """total, direct, later, mlps, scale, indirect and repaired [patched] of every head, and through [patched, head],
    each with its standard error (_se) and half the width of its 95% interval (_half). attrs: prompts.
    """
    model = inputs.model_here(step)
    return self_repair.self_repair(forward.weights_of(model), model.cfg, task_prompts.of_cell(cells, task, prompts))


def seconds(inputs: Inputs, parameters: Parameters) -> float:
    """Rough seconds: a run for every head, of the dozens that paths take."""
    return 0.2 * path_effects.seconds(inputs, parameters)


SELF_REPAIR = Kind("self_repair", (1,), measure, splits=(), seconds=seconds)
