"""Exact effects of all paths on a task's prompts, as tables for graphs: one cell per checkpoint."""

from collections.abc import Sequence

import pandas as pd
import torch
import xarray as xr

from ablations import forward
from ablations.changes import Change, first_layer
from ablations.models import Config
from ablations.names import parse_head
from ablations.paths import Path
from circuits import discover, graph, scale_part
from circuits.tasks import Task, accuracy
from experiments.jobs.job import Job
from experiments.results import pass_time
from experiments.results.cells import Cells
from experiments.results.inputs import Inputs
from experiments.results.kind import Kind, Parameters
from experiments.results.plan import evenly_chosen
from experiments.statistics.intervals import reach
from experiments.tasks import own_prompts, task_prompts

STEPS = 6  # checkpoints, at most, that the explorer has a circuit at
CANDIDATES = 18  # checkpoints, at most, at which it is measured how a circuit formed
LENGTH = 48  # of a prompt, roughly, for the time that it takes


def formation_steps(cells: Cells) -> list[int]:
    """The run's first checkpoint, its last, and evenly chosen ones between."""
    return evenly_chosen(cells.run.steps, STEPS)


def formation_candidates(cells: Cells) -> list[int]:
    """Those among which the panels of a formation are chosen: at most 18, evenly spaced in order."""
    return evenly_chosen(cells.run.steps, CANDIDATES)


def table(cells: Cells, task: str | Task, steps: Sequence[int], heads: Sequence[str] = ()) -> xr.Dataset:
    """effect, se, p, found, read, read_se, scale, scale_se [step, path], clean, corrupted, accuracy [step]; computed
    here where they are missing.

    Effects are in the task's units (logit difference), their errors over prompts; found: at a false-discovery rate of
    5%, by step; read, scale: parts of the effects of paths that were found (`circuits.scale_part`), NaN for others;
    accuracy: share of right answers. heads: of paths from and into these alone, by name (default: all).
    """
    asked = parameters(cells, task, heads)
    parts = [cells.get(PATH_EFFECTS, step, **asked) for step in steps]
    joined = xr.concat(parts, "step", combine_attrs="override", data_vars="all")
    return joined.assign_coords(step=list(steps))


def frame(measured: xr.Dataset, *more: str) -> pd.DataFrame:
    """One row per path of a table of one step, largest effect first: path, effect, se, half_width (of its 95% interval
    over prompts, by Student's t), read, scale, p, found, and more columns of the table.
    """
    columns = ["effect", "se", *scale_part.COLUMNS, "p", "found", *more]
    rows = measured[columns].to_dataframe()[columns].reset_index(names="path")
    rows.insert(3, "half_width", reach(measured.attrs["prompts"] - 1) * rows.se)
    return rows.reindex(rows.effect.abs().sort_values(ascending=False, kind="stable").index)


def passed(measured: xr.Dataset, cfg: Config) -> list[Path]:
    """The paths that pass on all prompts, of a table of one step with all of them."""
    return [path for path, at in zip(discover.candidates(cfg), measured.found.values, strict=True) if at]


def missing(cells: Cells, task: str | Task, steps: Sequence[int], heads: Sequence[str] = ()) -> list[Job]:
    """The steps that are not there yet, as jobs."""
    asked = parameters(cells, task, heads)
    return [job for step in steps for job in cells.missing(PATH_EFFECTS, step, **asked)]


def measure(inputs: Inputs, step: int, cells: Cells, task: str, prompts: str, heads: Sequence[str] = ()) -> xr.Dataset:
    """What `table` has of one step, on the prompts with this fingerprint."""
    model, asked = inputs.model_here(step), task_prompts.of_cell(cells, task, prompts)
    assert own_prompts.fingerprint(asked) == prompts
    weights, cfg = forward.weights_of(model), model.cfg
    effects = discover.exact(weights, cfg, asked, discover.candidates(cfg, [parse_head(name) for name in heads]))
    found = discover.significant(effects.p)
    passed = [path for path, at in zip(effects.paths, found, strict=True) if at]
    frozen = discover.exact(weights, cfg, asked, passed, layer_norm="freeze") if passed else None
    with torch.no_grad():
        right = accuracy(asked, model(asked.clean).cpu())
    return scale_part.with_parts(graph.table(effects, found), effects, frozen).assign(accuracy=right)


def parameters(cells: Cells, task: str | Task, heads: Sequence[str] = ()) -> dict:
    """What tells the cells of a task apart: its name, its prompts by content, and the heads where they are not all. A
    task of one's own is known by its content alone, which is kept for whoever measures its cells.
    """
    chosen = {"heads": list(heads)} if heads else {}
    if isinstance(task, Task):
        return {"task": own_prompts.OWN, "prompts": own_prompts.keep(cells, task)} | chosen
    return {"task": task, "prompts": own_prompts.fingerprint(task_prompts.task(task, cells))} | chosen


def nodes(inputs: Inputs, step: int | None) -> dict:
    """As a part of keys, that paths go from and into MLPs too, where the model has them."""
    return {} if inputs.run.model_config().attn_only else {"nodes": "heads and MLPs"}


def seconds(inputs: Inputs, parameters: Parameters) -> float:
    """Rough seconds of all paths on as many prompts as a task has: their target, and the layers after it."""
    cfg = inputs.run.model_config()
    heads = [parse_head(name) for name in parameters.get("heads", ())]
    layers = [first_layer(Change(cuts=(path,)), cfg) for path in discover.candidates(cfg, heads)]
    target = 1 / (cfg.n_layers * cfg.n_heads)
    shares = sum(pass_time.rerun(cfg, layer, logits=False) + target for layer in layers)
    return pass_time.seconds(inputs, 1.7 * shares * task_prompts.PROMPTS * LENGTH / inputs.n_ctx)


def label(inputs: Inputs, parameters: Parameters) -> str:
    """What is measured, of which heads, and on which task."""
    heads = "".join(f" {name}" for name in parameters.get("heads", ()))
    return f"paths of {parameters['task']}{heads}"


PATH_EFFECTS = Kind(
    "path_effects",
    (6, 3),
    measure,
    splits=(),
    seconds=seconds,
    label=label,
    also=nodes,
)
