"""Prompts of a task, from a run's own text."""

from collections.abc import Callable

import torch
import xarray as xr

from circuits import tasks
from circuits.tasks import Task
from experiments.results.cells import Cells
from experiments.storage import store
from experiments.tasks import bracket_prompts, quote_prompts, skipgram_prompts

PROMPTS, PERIOD = 128, 25
VERSION = 3  # raised by hand when prompts change


def task(name: str, found: Cells) -> Task:
    """The task of this name; raises ValueError for an unknown one, and where the text does not give its prompts.

    induction: random tokens from the middle half of the unigram distribution, distinct within a row.
    brackets: held-out Python that ends before a bracket's closer, half of them nested in a bracket of another type.
    quotes: held-out Python that ends before a string's closing quote.
    skipgram: held-out text that ends in the context of a skip trigram of the text.
    """
    if name not in BUILDERS:
        raise ValueError(f"unknown task {name!r}: choose one of {', '.join(TASKS)}")
    key = {
        "kind": f"task_{name}",
        "run": found.run.name,
        "data": [found.on.corpus.fingerprint, found.on.train.fingerprint],
        "plan": {part: found.plan.record()[part] for part in ("text_rows", "reference_rows", "seed")},
        "version": VERSION,
    }
    stored = store.cached(found.folder, key, lambda: _dataset(BUILDERS[name](found)))
    return Task(name, *(torch.from_numpy(stored[part].values) for part in Task._fields[1:]))


def _dataset(built: Task) -> xr.Dataset:
    dims = {2: ("prompt", "pos"), 1: ("prompt",)}
    arrays = {part: getattr(built, part).numpy() for part in Task._fields[1:]}
    return xr.Dataset({part: (dims[array.ndim], array) for part, array in arrays.items()})


def _induction(found: Cells) -> Task:
    drawn = found.on.random(PROMPTS, min(PERIOD, found.run.config["model"]["n_ctx"] // 2) + 1).tokens
    return tasks.induction(drawn[:, :-1], torch.clone(drawn[:, -1]))


BUILDERS: dict[str, Callable[[Cells], Task]] = {
    "induction": _induction,
    "brackets": lambda found: bracket_prompts.task(found.on, PROMPTS),
    "quotes": lambda found: quote_prompts.task(found.on, PROMPTS),
    "skipgram": lambda found: skipgram_prompts.task(found, PROMPTS),
}
TASKS = tuple(BUILDERS)
