"""Prompts of a task, from a run's own text."""

import torch

from circuits import tasks
from circuits.tasks import Task
from experiments.bench import Bench

TASKS = ("induction",)
PROMPTS, PERIOD = 128, 25


def task(name: str, on: Bench) -> Task:
    """The task of this name; raises ValueError for an unknown one.

    induction: random tokens from the middle half of the unigram distribution, distinct within a row.
    """
    if name not in TASKS:
        raise ValueError(f"unknown task {name!r}: choose one of {', '.join(TASKS)}")
    drawn = on.random(PROMPTS, min(PERIOD, on.run.config["model"]["n_ctx"] // 2) + 1).tokens
    return tasks.induction(drawn[:, :-1], torch.clone(drawn[:, -1]))
