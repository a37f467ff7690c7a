"""A task: prompts on which a model does something, corrupted ones on which it should not, and how well it does it."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor


class Task(NamedTuple):
    """Prompts of one length, and for each the right answer after its last token and a wrong one."""

    name: str
    clean: Int64[Tensor, "prompt pos"]
    corrupted: Int64[Tensor, "prompt pos"]
    right: Int64[Tensor, " prompt"]
    wrong: Int64[Tensor, " prompt"]


def logit_difference(task: Task, logits: Float[Tensor, "prompt pos vocab"]) -> Float[Tensor, " prompt"]:
    """Logit of the right answer minus that of the wrong one, after the last token."""
    last = logits[:, -1]
    prompts = torch.arange(len(last))
    return last[prompts, task.right] - last[prompts, task.wrong]


def accuracy(task: Task, logits: Float[Tensor, "prompt pos vocab"]) -> float:
    """Share of the prompts after which the right answer has the highest logit."""
    return float((logits[:, -1].argmax(-1) == task.right).float().mean())
