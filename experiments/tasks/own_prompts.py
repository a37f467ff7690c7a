"""Prompts of a task of one's own, kept under their content: cells know them by it, and by no name of a file.

Whoever asks for a cell of such a task keeps its prompts first (`keep`); whoever measures it, in another process too,
reads them.
"""

import torch
import xarray as xr

from ablations.not_measurable import NotMeasurable
from circuits.tasks import Task
from experiments.results.cells import Cells
from experiments.results.inputs import Inputs
from experiments.results.keys import key
from experiments.results.kind import Kind
from experiments.storage import store

OWN = "own"  # what all of these are called in keys
TENSORS = ("clean", "corrupted", "right", "wrong")


def fingerprint(task: Task) -> str:
    """A task's content in hexadecimal digits: its prompts, answers, and lengths where they are uneven."""
    return store.fingerprint(**{str(name): array.values for name, array in as_dataset(task).items()})


def keep(cells: Cells, task: Task) -> str:
    """Stores the prompts where they are not there; returns their fingerprint."""
    prompts = fingerprint(task)
    if cells.read(OWN_PROMPTS, prompts=prompts) is None:
        store.keep(cells.folder, key(cells.inputs, OWN_PROMPTS, None, {"prompts": prompts}), as_dataset(task))
    return prompts


def kept(cells: Cells, prompts: str) -> Task:
    """The task with prompts of this fingerprint; raises NotMeasurable where nobody kept it."""
    return from_dataset(OWN, cells.get(OWN_PROMPTS, prompts=prompts))


def as_dataset(task: Task) -> xr.Dataset:
    """The tensors of a task by their names, those that it has."""
    dims = {2: ("prompt", "pos"), 1: ("prompt",)}
    tensors = {name: getattr(task, name) for name in TENSORS}
    tensors |= {} if task.lengths is None else {"lengths": task.lengths}
    return xr.Dataset({name: (dims[tensor.ndim], tensor.cpu().numpy()) for name, tensor in tensors.items()})


def from_dataset(name: str, stored: xr.Dataset) -> Task:
    """The task of this name with these tensors."""
    task = Task(name, *(torch.from_numpy(stored[part].values) for part in TENSORS))
    return task._replace(lengths=torch.from_numpy(stored.lengths.values)) if "lengths" in stored else task


def measure(inputs: Inputs, step: None, cells: Cells, prompts: str) -> xr.Dataset:
    """The tensors of a task, by their names, which only who has the task can give; raises NotMeasurable."""
    raise NotMeasurable(f"the prompts {prompts[:12]} are not in {cells.folder}: ask for the task again")


OWN_PROMPTS = Kind("own_prompts", (1,), measure, splits=(), steps=None)
