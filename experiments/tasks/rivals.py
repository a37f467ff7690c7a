"""Whether another circuit does the task of the one that was found (`circuits.rivals`): a cell, as it takes some runs
for every path.
"""

import xarray as xr

from ablations import forward
from ablations.not_measurable import NotMeasurable
from ablations.paths import path_name
from circuits import rivals
from circuits.discover import candidates
from circuits.rivals import Rival
from circuits.stability import STABLE
from circuits.tasks import Task
from experiments.results.cells import Cells
from experiments.results.inputs import Inputs
from experiments.results.kind import Kind, Parameters
from experiments.tasks import path_effects, stability, task_prompts
from experiments.tasks.path_effects import PATH_EFFECTS


def table(cells: Cells, task: str | Task, step: int) -> xr.Dataset:
    """What `measure` says, computed here where it is missing."""
    return cells.get(RIVALS, step, **path_effects.parameters(cells, task))


def measure(inputs: Inputs, step: int, cells: Cells, task: str, prompts: str) -> xr.Dataset:
    """disjoint and without_strongest [path]: the paths of each rival; their faithfulness and found [rival], and needed
    [path] of the circuit's paths. attrs: untested, why there is nothing else, where no path was found.
    """
    model = inputs.model_here(step)
    every = candidates(model.cfg)
    chosen = stability.circuit(cells, step, model.cfg, task=task, prompts=prompts)
    if not chosen:
        return xr.Dataset(attrs={"untested": "no path was found on most resamples of the prompts"})
    try:
        others = rivals.rivals(forward.weights_of(model), model.cfg, task_prompts.of_cell(cells, task, prompts), chosen)
    except NotMeasurable as error:
        return xr.Dataset(attrs={"untested": str(error)})
    both: dict[str, Rival] = {"disjoint": others.disjoint, "without_strongest": others.without_strongest}
    data: dict = {name: ("path", [path in one.paths for path in every]) for name, one in both.items()}
    data["faithfulness"] = ("rival", [one.faithfulness for one in both.values()])
    data["found"] = ("rival", [one.found for one in both.values()])
    data["needed"] = ("path", [others.needed.get(path, False) for path in every])
    coords = {"path": [path_name(path) for path in every], "rival": list(both)}
    return xr.Dataset(data, coords, {"untested": "", "circuit": len(chosen), "faithful": rivals.FAITHFUL})


def key_parts(inputs: Inputs, step: int | None) -> dict:
    """What counts as faithful, and by which effects and how often paths were found."""
    parts = {"faithful": rivals.FAITHFUL, "effects": list(PATH_EFFECTS.version), "stable": STABLE}
    return parts | path_effects.nodes(inputs, step)


def seconds(inputs: Inputs, parameters: Parameters) -> float:
    """Rough seconds: some runs of the task for every path."""
    return 3 * path_effects.seconds(inputs, parameters)


RIVALS = Kind("rivals", (2,), measure, splits=(), seconds=seconds, also=key_parts)
