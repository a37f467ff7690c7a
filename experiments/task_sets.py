"""Prompts of a task, from a run's own text."""

from collections.abc import Callable

import torch

from circuits import tasks
from circuits.tasks import Task
from experiments import bracket_prompts
from experiments.bench import Bench

PROMPTS, PERIOD = 128, 25


def task(name: str, on: Bench) -> Task:
    """The task of this name; raises ValueError for an unknown one, and where the text does not give its prompts.

    induction: random tokens from the middle half of the unigram distribution, distinct within a row.
    brackets: held-out Python that ends before a bracket's closer, half of them nested in a bracket of another type.
    """
    if name not in BUILDERS:
        raise ValueError(f"unknown task {name!r}: choose one of {', '.join(TASKS)}")
    return BUILDERS[name](on)


def _induction(on: Bench) -> Task:
    drawn = on.random(PROMPTS, min(PERIOD, on.run.config["model"]["n_ctx"] // 2) + 1).tokens
    return tasks.induction(drawn[:, :-1], torch.clone(drawn[:, -1]))


def _brackets(on: Bench) -> Task:
    return bracket_prompts.task(on, PROMPTS)


BUILDERS: dict[str, Callable[[Bench], Task]] = {"induction": _induction, "brackets": _brackets}
TASKS = tuple(BUILDERS)
