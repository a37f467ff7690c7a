"""How often each path of a task is found again on resampled prompts (`circuits.stability`): a cell, as it takes as many
tests of every path as there are resamples. Those found often enough are the circuit that is reported.
"""

import xarray as xr

from ablations import forward
from ablations.models import Config
from ablations.paths import Path, path_name
from circuits import discover, stability
from circuits.stability import STABLE
from circuits.tasks import Task
from experiments.results.cells import Cells
from experiments.results.inputs import Inputs
from experiments.results.kind import Kind, Parameters
from experiments.tasks import path_effects, task_prompts
from experiments.tasks.path_effects import PATH_EFFECTS


def table(cells: Cells, task: str | Task, step: int) -> xr.Dataset:
    """What `measure` says, computed here where it is missing."""
    return cells.get(STABILITY, step, **path_effects.parameters(cells, task))


def circuit(cells: Cells, step: int, cfg: Config, **asked: str) -> list[Path]:
    """The paths that pass a false-discovery rate of 5% on all prompts, and again on at least 80% of the resamples.

    asked: the parameters of the task's cells (`path_effects.parameters`).
    """
    passed, again = cells.get(PATH_EFFECTS, step, **asked).found, cells.get(STABILITY, step, **asked).frequency
    stable = passed.values & (again.values >= STABLE)
    return [path for path, at in zip(discover.candidates(cfg), stable, strict=True) if at]


def measure(inputs: Inputs, step: int, cells: Cells, task: str, prompts: str) -> xr.Dataset:
    """frequency [path] with its interval [path, end], and jaccard. attrs: draws."""
    model = inputs.model_here(step)
    found = stability.stability(
        forward.weights_of(model), model.cfg, task_prompts.of_cell(cells, task, prompts), seed=inputs.plan.seed
    )
    data: dict = {
        "frequency": ("path", found.frequency),
        "interval": (("path", "end"), found.interval()),
        "jaccard": ((), found.jaccard),
    }
    return xr.Dataset(data, {"path": [path_name(path) for path in found.paths]}, {"draws": len(found.found)})


def key_parts(inputs: Inputs, step: int | None) -> dict:
    """How often is drawn, and the version of the tests by which paths are found."""
    return {"draws": stability.DRAWS, "effects": list(PATH_EFFECTS.version)} | path_effects.nodes(inputs, step)


def seconds(inputs: Inputs, parameters: Parameters) -> float:
    """Rough seconds: every path's run once, and its tests for each resample."""
    return 3 * path_effects.seconds(inputs, parameters)


STABILITY = Kind(
    "stability",
    (1,),
    measure,
    splits=(),
    plan_fields=("seed",),
    seconds=seconds,
    also=key_parts,
)
