"""Prompts of a task, from a run's own text."""

import numpy as np
import torch

from circuits import scores, tasks
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
    d_vocab, n_ctx = on.run.config["model"]["d_vocab"], on.run.config["model"]["n_ctx"]
    counts = np.bincount(np.asarray(on.corpus.tokens).ravel(), minlength=d_vocab)
    drawn = scores.random_rows(counts, PROMPTS, min(PERIOD, n_ctx // 2) + 1, on.plan.seed)
    return tasks.induction(drawn[:, :-1], torch.clone(drawn[:, -1]))
