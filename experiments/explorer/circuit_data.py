"""The induction circuit over checkpoints, as the page draws it: where nodes stand, how paths run, what each carries."""

from typing import Any

import numpy as np
import xarray as xr

from ablations.not_measurable import NotMeasurable
from ablations.paths import ends, parse_path
from circuits import graph
from circuits.stability import STABLE
from experiments.jobs.job import Job
from experiments.plots import circuit_layout
from experiments.results.cells import Cells
from experiments.results.plan import evenly_chosen
from experiments.statistics.intervals import reach
from experiments.tasks import path_effects, stability
from experiments.tasks.path_effects import PATH_EFFECTS
from experiments.tasks.stability import STABILITY

TASK = "induction"
MOST = 400  # paths in the page: those with the largest effects at any checkpoint
MANY, AFFORDABLE = 24, 600.0  # checkpoints at most, where measuring all of them takes no longer (rough seconds)
COLUMNS = ("half", "p", "found")


def missing(cells: Cells) -> list[Job]:
    """Effects of all paths at `steps_of`, and how stable the circuit is at the last checkpoint."""
    if _reason(cells):
        return []
    asked = path_effects.parameters(cells, TASK)
    last = cells.run.steps[-1]
    return [*path_effects.missing(cells, TASK, steps_of(cells)), *cells.missing(STABILITY, last, **asked)]


def steps_of(cells: Cells) -> list[int]:
    """The checkpoints whose paths are shown: all (24 at most, evenly chosen) where that takes minutes, else the few
    that show how the circuit formed; and those that are measured already.
    """
    asked = path_effects.parameters(cells, TASK)
    many = evenly_chosen(cells.run.steps, MANY)
    takes = len(many) * PATH_EFFECTS.cost(cells.inputs, asked)
    chosen = many if takes <= AFFORDABLE else path_effects.formation_steps(cells)
    return [step for step in cells.run.steps if step in chosen or cells.read(PATH_EFFECTS, step, **asked) is not None]


def of_run(cells: Cells) -> dict[str, Any]:
    """steps; nodes (name, x, y); paths (name, source, target, via, curve, frequency); effect, half, p, found [step,
    path]; clean, corrupted, accuracy [step]; prompts, jaccard, stable (the frequency from which a path is stable);
    model: its sizes, as MIB's files have them.

    Effects are in the task's units (logit difference): negative where the path carries the task. frequency: the share
    of resamples of the prompts in which a path is found at the last checkpoint. Raises NotMeasurable for one layer.
    """
    if reason := _reason(cells):
        raise NotMeasurable(reason)
    steps = steps_of(cells)
    table, again = path_effects.table(cells, TASK, steps), stability.table(cells, TASK, steps[-1])
    half = reach(table.attrs["prompts"] - 1) * table.se
    chosen = np.sort(np.argsort(-np.abs(table.effect).max("step").values, kind="stable")[:MOST])
    columns = xr.Dataset({"half": half, "p": table.p, "found": table.found}).isel(path=chosen)
    shown = table.isel(step=-1)
    return {
        "task": TASK,
        "steps": steps,
        "prompts": int(table.attrs["prompts"]),
        "measured": table.sizes["path"],
        "stable": STABLE,
        "jaccard": float(again.jaccard),
        "draws": int(again.attrs["draws"]),
        "model": graph.mib(graph.from_table(cells.run.model_config(), shown), cells.run.model_config())["cfg"],
        **drawn(cells, shown, chosen, again.frequency.values),
        # with all their digits: files of the circuit that the page writes are those of Python
        "effect": table.effect.isel(path=chosen).transpose("step", "path").values.astype(np.float64).tolist(),
        **{name: _rounded(columns[name].transpose("step", "path").values) for name in COLUMNS},
        **{name: _rounded(table[name].values) for name in ("clean", "corrupted", "accuracy")},
    }


def drawn(cells: Cells, last: xr.Dataset, chosen: np.ndarray, frequency: np.ndarray) -> dict[str, Any]:
    """Nodes and paths with their places, in units of columns (heads) and rows (layers upwards)."""
    at = circuit_layout.places(graph.from_table(cells.run.model_config(), last))
    columns, everything = int(max(x for x, _ in at.values())) + 1, list(at.values())
    paths = []
    for number in chosen.tolist():
        path = parse_path(str(last.path.values[number]))
        (source, target), via = ends(path), graph.input_of(path)
        curve = circuit_layout.route(at[source], at[target], via, everything, columns)
        about = {"name": str(last.path.values[number]), "source": source, "target": target, "via": via}
        paths.append(about | {"curve": _rounded(curve.ravel()), "frequency": float(frequency[number])})
    return {"nodes": [{"name": name, "x": x, "y": y} for name, (x, y) in at.items()], "paths": paths}


def _reason(cells: Cells) -> str:
    """Why the run has no paths between heads; empty where it has."""
    layers = cells.run.config["model"]["n_layers"]
    return f"the run has {layers} layer: paths between heads need two or more" if layers < 2 else ""


def _rounded(values: np.ndarray) -> list[Any]:
    """Numbers with five significant digits, as lists; whether something is found as 0 and 1."""
    return np.vectorize(lambda number: float(f"{number:.5g}"), otypes=[float])(values.astype(np.float64)).tolist()
