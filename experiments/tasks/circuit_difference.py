"""The circuits of two checkpoints, of one run or of two, held against each other (`circuits.circuit_difference`).

Effects by prompt and what each head does are a cell of each checkpoint; the comparison itself takes no time.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from ablations import forward
from ablations.forward import Weights
from ablations.models import Config
from ablations.not_measurable import NotMeasurable
from ablations.paths import Path, parse_path, path_name
from circuits import circuit_difference, head_matching
from circuits.discover import candidates, exact, significant
from circuits.discover_paths import Effects
from circuits.head_matching import Matching, Universality
from circuits.tasks import Task
from experiments import tasks
from experiments.jobs.job import Job
from experiments.results.cells import Cells
from experiments.results.inputs import Inputs
from experiments.results.kind import Kind, Parameters
from experiments.tasks import path_effects, task_prompts

Place = tuple[Cells, int]  # a run's results, and the checkpoint that is looked at
WORDS = ("moved", "lost", "gained", "changed", "kept", "undecided")


class Ends(NamedTuple):
    """What is compared."""

    task: str
    titles: tuple[str, str]  # run and checkpoint of each
    other: str  # the second, as `circuit --against` names it: a step of the same run, or a run
    one_run: bool
    paired: bool  # whether both have the same prompts


class Difference(NamedTuple):
    """Two circuits of one task, and how they differ."""

    ends: Ends
    paths: xr.Dataset  # by name within a run, by matched heads between two (`circuit_difference.difference`)
    moved: xr.Dataset  # within a run: lost paths, and gained ones that do the same, heads matched
    matching: Matching
    universal: Universality | None  # None where one of the circuits has no paths


def missing(first: Cells, step: int, second: Cells, other: int, task: str | Task) -> list[Job]:
    """What `compare` needs, as jobs."""
    return missing_of([(first, step), (second, other)], task)


def missing_of(places: Sequence[Place], task: str | Task) -> list[Job]:
    """The effects by prompt that these runs lack at these checkpoints, as jobs."""
    return [
        job
        for cells, step in places
        for job in cells.missing(EFFECTS_BY_PROMPT, step, **path_effects.parameters(cells, task))
    ]


def compare(first: Cells, step: int, second: Cells, other: int, task: str | Task) -> Difference:
    """The circuit of the second against that of the first; what is missing is computed here.

    Differences are paired where both have the same prompts. Raises ValueError for one checkpoint twice, and
    NotMeasurable for models of other layers or heads.
    """
    check_apart((first, step), (second, other))
    one_run = first.run.folder == second.run.folder
    one, two = (path_effects.parameters(cells, task) for cells in (first, second))
    return differ(
        first.get(EFFECTS_BY_PROMPT, step, **one),
        second.get(EFFECTS_BY_PROMPT, other, **two),
        Ends(
            task=tasks.name_of(task),
            titles=(f"{first.run.name}, step {step}", f"{second.run.name}, step {other}"),
            other=str(other) if one_run else second.run.name,
            one_run=one_run,
            paired=one["prompts"] == two["prompts"],
        ),
        first.run.model_config(),
        first.plan.seed,
    )


def check_apart(first: Place, second: Place) -> None:
    """Raises ValueError for one checkpoint twice, and NotMeasurable for models of other layers or heads."""
    (one, step), (two, other) = first, second
    if one.run.folder == two.run.folder and step == other:
        raise ValueError(f"{one.run.name} at step {step} against itself: give another checkpoint, or another run")
    check_shapes([first, second])


def check_shapes(places: Sequence[Place]) -> None:
    """Raises NotMeasurable for models of other layers or heads than the first's."""
    names = [cells.run.name for cells, _ in places]
    shapes = [(cfg.n_layers, cfg.n_heads) for cfg in (cells.run.model_config() for cells, _ in places)]
    if other := next((number for number, shape in enumerate(shapes) if shape != shapes[0]), 0):
        raise NotMeasurable(
            f"{names[0]} has {shapes[0][0]} layers of {shapes[0][1]} heads, {names[other]} {shapes[other][0]} of "
            f"{shapes[other][1]}: circuits are compared in models of one shape, name another run"
        )


def differ(first: xr.Dataset, second: xr.Dataset, ends: Ends, cfg: Config, seed: int = 0) -> Difference:
    """The difference of two circuits; first, second: what `measure` has of each, cfg: of either model."""
    matching = head_matching.match(first.feature_value, second.feature_value, seed=seed)
    one, other = as_effects(first), as_effects(second)
    by_name = circuit_difference.difference(one, other, paired=ends.paired)
    matched = circuit_difference.difference(one, other, matching.partner, paired=ends.paired)
    moved = circuit_difference.moved(by_name, matched)
    return Difference(
        ends=ends,
        paths=by_name if ends.one_run else matched,
        moved=_surely(moved, matching) if ends.one_run else moved.isel(path=[]),
        matching=matching,
        universal=_universality(found(one), found(other), matching, cfg, seed),
    )


def _surely(moved: xr.Dataset, matching: Matching) -> xr.Dataset:
    """Those of whose heads the partners are sure."""
    return moved.isel(path=[at for at, name in enumerate(moved.path.values) if matching.sure(parse_path(name))])


def _universality(
    first: list[Path], second: list[Path], matching: Matching, cfg: Config, seed: int
) -> Universality | None:
    return head_matching.universality(first, second, matching.partner, cfg, seed=seed) if first and second else None


def found(effects: Effects) -> list[Path]:
    """The paths that pass a false-discovery rate of 5%."""
    return [path for path, ok in zip(effects.paths, significant(effects.p), strict=True) if ok]


def frame(difference: Difference) -> pd.DataFrame:
    """One row per path that is in either circuit, what changed most first within each word: path, counterpart (its name
    in the second), change, first, second, difference, difference_half (of its 95% interval), q.

    A path that moved stands in one row, with its new name as the counterpart.
    """
    columns = ["counterpart", "change", "first", "second", "difference", "difference_half", "q"]
    rows = difference.paths[columns].to_dataframe().reset_index()[["path", *columns]]
    moved = difference.moved[columns].to_dataframe().reset_index()[["path", *columns]].assign(change="moved")
    gone = (rows.change.eq("lost") & rows.path.isin(moved.path)) | (
        rows.change.eq("gained") & rows.path.isin(moved.counterpart)
    )
    rows = pd.concat([rows[~gone & rows.change.ne("")], moved], ignore_index=True)
    order = pd.Series({word: number for number, word in enumerate(WORDS)})
    rows["word"], rows["size"] = rows.change.map(order), -rows.difference.abs()
    return rows.sort_values(["word", "size"], kind="stable").drop(columns=["word", "size"]).reset_index(drop=True)


def as_effects(cell: xr.Dataset) -> Effects:
    """The effects that a cell of `measure` holds."""
    paths = tuple(parse_path(name) for name in cell.path.values.tolist())
    clean, corrupted = (cell[name].values.astype(np.float64) for name in ("clean", "corrupted"))
    return Effects(paths, cell.effect.values.astype(np.float64), clean, corrupted, cell.p.values)


def measure(inputs: Inputs, step: int, cells: Cells, task: str, prompts: str) -> xr.Dataset:
    """Exact effects of all paths by prompt: effect [path, prompt], p [path], clean and corrupted [prompt]; and what
    heads do: feature_value [head, feature, prompt] (`circuits.head_matching`).
    """
    model = inputs.model_here(step)
    return by_prompt(forward.weights_of(model), model.cfg, task_prompts.of_cell(cells, task, prompts))


def by_prompt(weights: Weights, cfg: Config, asked: Task) -> xr.Dataset:
    """What `measure` has, of any model."""
    effects = exact(weights, cfg, asked, candidates(cfg))
    data: dict = {
        "effect": (("path", "prompt"), effects.effect.astype(np.float32)),
        "p": ("path", effects.p),
        "clean": ("prompt", effects.clean.astype(np.float32)),
        "corrupted": ("prompt", effects.corrupted.astype(np.float32)),
        "feature_value": head_matching.features(weights, cfg, asked).astype(np.float32),
    }
    return xr.Dataset(data, {"path": [path_name(path) for path in effects.paths]})


def key_parts(inputs: Inputs, step: int | None) -> dict:
    """The version of the effects, and the features."""
    parts = {"effects": list(path_effects.PATH_EFFECTS.version), "features": list(head_matching.FEATURES)}
    return parts | path_effects.nodes(inputs, step)


def seconds(inputs: Inputs, parameters: Parameters) -> float:
    """Rough seconds: all paths, and all heads."""
    return 1.2 * path_effects.seconds(inputs, parameters)


EFFECTS_BY_PROMPT = Kind("effects_by_prompt", (1,), measure, splits=(), seconds=seconds, also=key_parts)
