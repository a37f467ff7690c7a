"""Exact effects of all paths on a task's prompts, as tables for graphs: one cell per checkpoint."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
import xarray as xr

from ablations import forward
from circuits import discover, graph
from circuits.tasks import Task, accuracy
from experiments import runs
from experiments.jobs.job import Job
from experiments.measurements import inputs as bench
from experiments.measurements.inputs import Bench
from experiments.measurements.plan import Plan, llc_steps
from experiments.results import cells
from experiments.results.cells import Cells
from experiments.storage import store
from experiments.tasks import task_prompts

STEPS = 6  # checkpoints, at most, that show how a circuit formed
VERSION = 2  # raised by hand when effects or their p-values change
COST = 2e-4  # rough seconds of a path and a prompt


def formation_steps(found: Cells) -> list[int]:
    """The run's first checkpoint, its last, and evenly chosen ones between."""
    return llc_steps(found.run.steps, STEPS)


def table(found: Cells, task: str, steps: Sequence[int]) -> xr.Dataset:
    """effect, se, p, found [step, path], clean, corrupted, accuracy [step]; computed here where they are missing.

    Effects are in the task's units (logit difference), their errors over prompts; found: at a false-discovery rate of
    5%, by step; accuracy: share of right answers.
    """
    prompts = task_prompts.task(task, found)
    parts = [_cell(found.on, found.folder, prompts, step) for step in steps]
    joined = xr.concat(parts, "step", combine_attrs="override", data_vars="all")
    return joined.assign_coords(step=list(steps))


def missing(found: Cells, task: str, steps: Sequence[int]) -> list[Job]:
    """The steps that are not there yet, as work."""
    prompts = task_prompts.task(task, found)
    cost = COST * len(discover.candidates(found.run.model_config())) * len(prompts.clean)
    return [
        Job(work, (found.folder, found.run.folder, found.plan, task, step), cost, f"paths of {task} at step {step}")
        for step in steps
        if store.read(found.folder, _key(found.on, prompts, step)) is None
    ]


def work(results: Path, folder: Path, plan: Plan, task: str, step: int) -> None:
    """Computes and stores one step."""
    found = Cells(results, runs.open_run(folder), plan)
    _cell(found.on, results, task_prompts.task(task, found), step)


def _cell(on: Bench, results: Path, task: Task, step: int) -> xr.Dataset:
    return store.cached(results, _key(on, task, step), partial(_measure, on, task, step))


def _key(on: Bench, task: Task, step: int) -> dict:
    tokens = {name: getattr(task, name).numpy() for name in ("clean", "corrupted", "right", "wrong")}
    return cells.key(on, "path_effects", step) | {
        "task": task.name,
        "prompts": store.fingerprint(**tokens),
        "version": VERSION,
    }


def _measure(on: Bench, task: Task, step: int) -> xr.Dataset:
    model = bench.model(on.run.folder, step)
    effects = discover.exact(forward.weights_of(model), model.cfg, task, discover.candidates(model.cfg))
    with torch.no_grad():
        right = accuracy(task, model(task.clean))
    return graph.table(effects, discover.significant(effects.p)).assign(accuracy=right)
