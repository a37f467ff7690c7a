"""Faithfulness over circuit size (`circuits.curves`) on a task, paths in the order of five scores: a cell, as each
point is a run of the task.
"""

import numpy as np
import xarray as xr

from ablations import forward
from circuits import curves, discover
from circuits.attributions.magnitudes import magnitudes
from circuits.tasks import Task
from experiments.results.cells import Cells
from experiments.results.inputs import Inputs
from experiments.results.kind import Kind, Parameters
from experiments.tasks import path_effects, task_prompts
from experiments.tasks.path_effects import PATH_EFFECTS

ORDERS = ("exact effects", "EAP-IG", "EAP", "path magnitude", "random")
RANDOM = 3  # orders, whose mean is shown


def table(cells: Cells, task: str | Task, step: int) -> xr.Dataset:
    """What `measure` says, computed here where it is missing."""
    return cells.get(CURVES, step, **path_effects.parameters(cells, task))


def measure(inputs: Inputs, step: int, cells: Cells, task: str, prompts: str) -> xr.Dataset:
    """signed and magnitude [order, size], the faithfulness of the paths with the largest scores of each kind; cpr of
    the former and cmd of the latter [order], which for random orders are means. Path
    magnitudes (`attributions.magnitudes`) have no sign: by them both orders are one.
    """
    model, asked = inputs.model_here(step), task_prompts.of_cell(cells, task, prompts)
    weights, cfg = forward.weights_of(model), model.cfg
    paths = discover.candidates(cfg)
    exact = cells.get(PATH_EFFECTS, step, task=task, prompts=prompts).effect.values
    by_gradients = (
        discover.attribution(weights, cfg, asked, paths, steps=n).effect.mean(1) for n in (discover.IG_STEPS, 1)
    )
    sizes = magnitudes(weights, cfg, asked, paths).effect.mean(1)
    drawn = np.random.default_rng(inputs.plan.seed).standard_normal((RANDOM, len(paths)))
    found: dict[str, list[np.ndarray]] = {"signed": [], "magnitude": []}
    areas: dict[str, list[float]] = {"cpr": [], "cmd": []}
    for effects in ([exact], *([each] for each in by_gradients), [-sizes], list(drawn)):
        for name, scores in (
            ("signed", [-each for each in effects]),
            ("magnitude", [np.abs(each) for each in effects]),
        ):
            every = [curves.curve(weights, cfg, asked, one) for one in scores]
            found[name].append(np.mean([one.faithfulness for one in every], axis=0))
            number = "cpr" if name == "signed" else "cmd"
            areas[number].append(float(np.mean([getattr(one, number) for one in every])))
    data: dict = {name: (("order", "size"), np.stack(values)) for name, values in found.items()}
    data |= {name: ("order", values) for name, values in areas.items()}
    return xr.Dataset(data, {"order": list(ORDERS), "size": list(every[0].sizes)})


def key_parts(inputs: Inputs, step: int | None) -> dict:
    """How many random orders and points there are, and the version of the effects."""
    return {"random": RANDOM, "points": curves.POINTS, "effects": list(PATH_EFFECTS.version)} | path_effects.nodes(
        inputs, step
    )


def seconds(inputs: Inputs, parameters: Parameters) -> float:
    """Rough seconds: 14 curves of as many points."""
    return 2 * path_effects.seconds(inputs, parameters)


CURVES = Kind("curves", (2,), measure, splits=(), plan_fields=("seed",), seconds=seconds, also=key_parts)
