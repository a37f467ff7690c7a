"""Tests of the circuit that was found on a task, as a hypothesis (`circuits.circuit_hypotheses`): a cell, as they take
some hundred runs of the task.
"""

import xarray as xr

from ablations import forward
from ablations.not_measurable import NotMeasurable
from ablations.paths import path_name
from circuits.circuit_hypotheses import DRAWS, Hypotheses, hypotheses
from circuits.stability import STABLE
from circuits.tasks import Task
from experiments.results.cells import Cells
from experiments.results.inputs import Inputs
from experiments.results.kind import Kind, Parameters
from experiments.tasks import path_effects, stability, task_prompts
from experiments.tasks.path_effects import PATH_EFFECTS


def table(cells: Cells, task: str | Task, step: int) -> xr.Dataset:
    """What `measure` says, computed here where it is missing."""
    return cells.get(HYPOTHESIS_TESTS, step, **path_effects.parameters(cells, task))


def measure(inputs: Inputs, step: int, cells: Cells, task: str, prompts: str) -> xr.Dataset:
    """holds [hypothesis]; equivalence_share, equivalence_p; independence_share, independence_p; minimality_p [path] of
    the circuit's paths; sufficiency and necessity, how many random sets are beaten. attrs: prompts, margin and
    draws; untested, why there is nothing else, where no path was found often enough, or most were.
    """
    model = inputs.model(step)
    chosen = stability.circuit(cells, step, model.cfg, task=task, prompts=prompts)
    if not chosen:
        return xr.Dataset(attrs={"untested": "no path was found on most resamples of the prompts"})
    weights, asked = forward.weights_of(model), task_prompts.of_cell(cells, task, prompts)
    try:
        tested = hypotheses(weights, model.cfg, asked, chosen, seed=inputs.plan.seed)
    except NotMeasurable as error:
        return xr.Dataset(attrs={"untested": str(error)})
    return as_dataset(tested)


def as_dataset(tested: Hypotheses) -> xr.Dataset:
    """The tests in the variables of `measure`."""
    holds, same, left = tested.holds(), tested.equivalence, tested.independence
    data: dict = {
        "holds": ("hypothesis", list(holds.values())),
        "equivalence_share": ((), same.share),
        "equivalence_p": ((), same.p),
        "independence_share": ((), left.share),
        "independence_p": ((), left.p),
        "minimality_p": ("path", [one.p for one in tested.minimality.values()]),
        "sufficiency": ((), tested.sufficiency.beaten),
        "necessity": ((), tested.partial_necessity.beaten),
    }
    coords = {"hypothesis": list(holds), "path": [path_name(path) for path in tested.minimality]}
    attrs = {"untested": "", "prompts": same.prompts, "margin": same.margin, "draws": tested.sufficiency.draws}
    return xr.Dataset(data, coords, attrs)


def key_parts(inputs: Inputs, step: int | None) -> dict:
    """How often is drawn, and by which effects and how often paths were found."""
    parts = {"draws": DRAWS, "effects": list(PATH_EFFECTS.version), "stable": STABLE}
    return parts | path_effects.nodes(inputs, step)


def seconds(inputs: Inputs, parameters: Parameters) -> float:
    """Rough seconds: about as many runs of the task as there are paths, and twice that."""
    return 2 * path_effects.seconds(inputs, parameters)


HYPOTHESIS_TESTS = Kind(
    "hypothesis_tests",
    (2,),
    measure,
    splits=(),
    plan_fields=("seed",),
    seconds=seconds,
    also=key_parts,
)
