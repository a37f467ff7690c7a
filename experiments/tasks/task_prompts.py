"""Prompts of a task, from a run's own text."""

from collections.abc import Callable

import torch
import xarray as xr

from circuits import tasks
from circuits.tasks import Task
from experiments.results.cells import Cells
from experiments.results.inputs import Inputs
from experiments.results.keys import model_key
from experiments.results.kind import Kind
from experiments.tasks import bracket_prompts, check, own_prompts, quote_prompts, skipgram_prompts

PROMPTS, PERIOD = 128, 25
PLAN_FIELDS = ("text_rows", "reference_rows", "seed")


def task(name: str, cells: Cells) -> Task:
    """The task of this name; raises ValueError for an unknown one, and NotMeasurable where the text does not give its
    prompts.

    induction: random tokens from the middle half of the unigram distribution, distinct within a row.
    brackets: held-out Python that ends before a bracket's closer, half of them nested in a bracket of another type.
    quotes: held-out Python that ends before a string's closing quote.
    skipgram: held-out text that ends in the context of a skip trigram of the text.
    """
    check(name)
    stored = cells.get(SKIPGRAM_PROMPTS if name == "skipgram" else TASK_PROMPTS, task=name)
    return own_prompts.from_dataset(name, stored)


def of_cell(cells: Cells, name: str, prompts: str) -> Task:
    """The task of a cell's parameters: of this name, or of one's own with prompts of this fingerprint."""
    return own_prompts.kept(cells, prompts) if name == own_prompts.OWN else task(name, cells)


def asked(cells: Cells, of: str | Task) -> Task:
    """A task by its name, or the task itself."""
    return of if isinstance(of, Task) else task(of, cells)


def measure(inputs: Inputs, step: None, cells: Cells, task: str) -> xr.Dataset:
    """The tensors of a task, by their names."""
    return own_prompts.as_dataset(BUILDERS[task](cells))


def last_checkpoint_key(inputs: Inputs, step: int | None) -> dict:
    """The checkpoint that tells which skip trigrams the run has learned."""
    return {"learned_by": model_key(inputs, inputs.run.steps[-1])}


def _induction(cells: Cells) -> Task:
    drawn = cells.inputs.random(PROMPTS, min(PERIOD, cells.inputs.n_ctx // 2) + 1).tokens
    return tasks.induction(drawn[:, :-1], torch.clone(drawn[:, -1]))


def _brackets(cells: Cells) -> Task:
    return bracket_prompts.task(cells.inputs, PROMPTS)


def _quotes(cells: Cells) -> Task:
    return quote_prompts.task(cells.inputs, PROMPTS)


def _skipgram(cells: Cells) -> Task:
    return skipgram_prompts.task(cells, PROMPTS)


BUILDERS: dict[str, Callable[[Cells], Task]] = {
    "induction": _induction,
    "brackets": _brackets,
    "quotes": _quotes,
    "skipgram": _skipgram,
}

TASK_PROMPTS = Kind(
    "task_prompts",
    (3,),
    measure,
    splits=("train", "test"),
    steps=None,
    plan_fields=PLAN_FIELDS,
)
SKIPGRAM_PROMPTS = Kind(
    "skipgram_prompts",
    (3,),
    measure,
    splits=("train", "test"),
    steps=None,
    plan_fields=PLAN_FIELDS,
    also=last_checkpoint_key,
)
