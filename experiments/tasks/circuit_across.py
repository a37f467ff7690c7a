"""The circuits of several runs, such as seeds, held against each other (`circuits.circuit_across`).

Effects by prompt and what each head does are a cell of each run, which a comparison of two has too; the rest takes no
time.
"""

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from ablations.not_measurable import NotMeasurable
from ablations.paths import path_name
from circuits import circuit_across
from circuits.circuit_across import Across, Member
from circuits.tasks import Task
from experiments import tasks
from experiments.tasks import path_effects
from experiments.tasks.circuit_difference import EFFECTS_BY_PROMPT, Place, as_effects, check_shapes


class ManyCircuits(NamedTuple):
    """The circuits of one task in several runs, and what they have in common."""

    task: str
    runs: tuple[str, ...]  # their names, in the order of `found`; names of heads and paths are those of the first
    steps: tuple[int, ...]
    prompts: int
    found: Across


def compare(places: Sequence[Place], task: str | Task) -> ManyCircuits:
    """The circuits of all; what is missing is computed here.

    Raises ValueError and NotMeasurable as `check_apart` and `check_prompts` do, and NotMeasurable where no path is
    found in any run.
    """
    check_apart(places)
    check_prompts(places, task)
    stored = [cells.get(EFFECTS_BY_PROMPT, step, **path_effects.parameters(cells, task)) for cells, step in places]
    first, _ = places[0]
    members = [Member(as_effects(cell), cell.feature_value) for cell in stored]
    return ManyCircuits(
        task=tasks.name_of(task),
        runs=tuple(cells.run.name for cells, _ in places),
        steps=tuple(step for _, step in places),
        prompts=stored[0].sizes["prompt"],
        found=circuit_across.across(members, first.run.model_config(), seed=first.plan.seed),
    )


def check_apart(places: Sequence[Place]) -> None:
    """Raises ValueError for fewer than two runs and for one twice, and NotMeasurable for models of other layers or
    heads than the first's.
    """
    if len(places) < 2:
        raise ValueError(f"{len(places)} run: a circuit is followed across two or more, name others")
    names = [cells.run.name for cells, _ in places]
    if twice := next((name for number, name in enumerate(names) if name in names[:number]), ""):
        raise ValueError(f"{twice} twice: a run counts once, name others")
    check_shapes(places)


def check_prompts(places: Sequence[Place], task: str | Task) -> None:
    """Raises NotMeasurable for a run whose prompts, or whose tokens of the same prompts, are not those of the first."""
    (first, _), *others = places
    asked = path_effects.parameters(first, task)["prompts"]
    for cells, _ in others:
        same_tokens = cells.run.tokenizer_digest == first.run.tokenizer_digest
        if not same_tokens or path_effects.parameters(cells, task)["prompts"] != asked:
            what = f"other prompts of {tasks.name_of(task)}" if same_tokens else "another tokenizer"
            raise NotMeasurable(
                f"{cells.run.name} has {what} than {first.run.name}: circuits are followed across runs on the same "
                "prompts, name runs of one text and one tokenizer"
            )


def frame(many: ManyCircuits) -> pd.DataFrame:
    """One row per path that is found in any run, those in most runs first, then the largest mean effect: path, models
    (in how many it is found), and for each run RUN (its effect there), RUN_found, RUN_path (its name there).

    Paths that the first does not have itself stand there too, by the names that they would have in it.
    """
    table = many.found.paths
    rows = pd.DataFrame({"path": table.path.values, "models": table.models.values})
    for number, run in enumerate(many.runs):
        one = table.isel(model=number)
        rows = rows.assign(
            **{run: one.effect.values, f"{run}_found": one.found.values, f"{run}_path": one.counterpart.values}
        )
    size = abs(table.effect.mean("model")).values
    order = pd.DataFrame({"models": -rows.models, "size": -size}).sort_values(["models", "size"], kind="stable").index
    return rows.loc[order[rows.models[order] > 0]].reset_index(drop=True)


def heads_frame(many: ManyCircuits) -> pd.DataFrame:
    """One row per head of the first: head, and for each other run RUN (its partner there) and RUN_share (of resamples
    of the prompts in which it is the same); agreement (the share of pairs of other runs that match these partners).
    """
    table = many.found.heads
    rows = pd.DataFrame({"head": table["head"].values})
    for number, run in enumerate(many.runs[1:], 1):
        one = table.isel(model=number)
        rows = rows.assign(**{run: one.partner.values, f"{run}_share": one.share.values})
    return rows.assign(agreement=table.agreement.values)


def core_names(many: ManyCircuits) -> list[str]:
    """The paths that are found in every run, in the order of `frame`."""
    core = {path_name(path) for path in many.found.core.paths}
    return [name for name in frame(many).path if name in core]
