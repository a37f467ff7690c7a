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
from experiments.statistics.intervals import reach
from experiments.tasks import path_effects, stability
from experiments.tasks.stability import STABILITY

TASK = "induction"
MOST = 400  # paths in the page: those with the largest effects at any checkpoint
COLUMNS = ("effect", "half", "p", "found")


def missing(cells: Cells) -> list[Job]:
    """Effects of all paths at the checkpoints that show how the circuit formed, and how stable it is at the last."""
    if _reason(cells):
        return []
    steps = path_effects.formation_steps(cells)
    asked = path_effects.parameters(cells, TASK)
    return [*path_effects.missing(cells, TASK, steps), *cells.missing(STABILITY, steps[-1], **asked)]


def of_run(cells: Cells) -> dict[str, Any]:
    """steps; nodes (name, x, y); paths (name, source, target, via, curve, frequency); effect, half, p, found [step,
    path]; clean, corrupted, accuracy [step]; prompts, jaccard, stable (the frequency from which a path is stable).

    Effects are in the task's units (logit difference): negative where the path carries the task. frequency: the share
    of resamples of the prompts in which a path is found at the last checkpoint. Raises NotMeasurable for one layer.
    """
    if reason := _reason(cells):
        raise NotMeasurable(reason)
    steps = path_effects.formation_steps(cells)
    table, again = path_effects.table(cells, TASK, steps), stability.table(cells, TASK, steps[-1])
    half = reach(table.attrs["prompts"] - 1) * table.se
    chosen = np.sort(np.argsort(-np.abs(table.effect).max("step").values, kind="stable")[:MOST])
    columns = xr.Dataset({"effect": table.effect, "half": half, "p": table.p, "found": table.found}).isel(path=chosen)
    return {
        "task": TASK,
        "steps": steps,
        "prompts": int(table.attrs["prompts"]),
        "measured": table.sizes["path"],
        "stable": STABLE,
        "jaccard": float(again.jaccard),
        "draws": int(again.attrs["draws"]),
        **drawn(cells, table.isel(step=-1), chosen, again.frequency.values),
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
        (source, target), via = ends(path), path.via or "output"
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
