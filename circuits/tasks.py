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


def induction(rows: Int64[Tensor, "prompt period"], others: Int64[Tensor, " prompt"]) -> Task:
    """Random rows, one and a half times: the answer is what followed the last token before. Corrupted: another token
    in place of its first occurrence, so that there is nothing to repeat. The wrong answer is another token of the row.

    rows: distinct tokens in each, at least four; others: a token for each that is not in its row.
    """
    period = rows.shape[1]
    if period < 4:
        raise ValueError(f"rows of {period} tokens: repeating them takes at least 4")
    if (rows == others[:, None]).any():
        raise ValueError("a token that is to replace one of the row is in it: give one that is not")
    at = period // 2
    clean = torch.cat([rows, rows[:, : at + 1]], dim=1)
    corrupted = clean.clone()
    corrupted[:, at] = others
    return Task("induction", clean, corrupted, rows[:, at + 1], rows[:, (at + 3) % period])


def closers(
    name: str,
    windows: Int64[Tensor, "prompt pos"],
    openers: Int64[Tensor, " prompt"],
    others: Int64[Tensor, " prompt"],
    right: Int64[Tensor, " prompt"],
    wrong: Int64[Tensor, " prompt"],
) -> Task:
    """Text that ends before what closes a bracket or a string, which is the answer. Corrupted: another type's opener in
    its opener's place, so that the wrong answer fits.

    openers: the position of each window's opener; others: the opener token that the wrong answer closes.
    """
    prompts = torch.arange(len(windows))
    if (windows[prompts, openers] == others).any() or (right == wrong).any():
        raise ValueError("an opener or a closer that is to be of another type is of the same: give one that is not")
    corrupted = windows.clone()
    corrupted[prompts, openers] = others
    return Task(name, windows, corrupted, right, wrong)


def skipgram(
    windows: Int64[Tensor, "prompt pos"],
    offsets: Int64[Tensor, " prompt"],
    others: Int64[Tensor, " prompt"],
    right: Int64[Tensor, " prompt"],
    wrong: Int64[Tensor, " prompt"],
) -> Task:
    """Text that ends in the context of a skip n-gram, whose target is the answer. Corrupted: another token in place of
    the far one, after which the wrong answer is as good as any.

    offsets: how far before the answer the token stands that is replaced; others: what replaces it.
    """
    prompts, places = torch.arange(len(windows)), windows.shape[1] - offsets
    if (places < 1).any() or (windows[prompts, places] == others).any() or (right == wrong).any():
        raise ValueError("each prompt needs a far token in its window, another to replace it, and a wrong answer")
    corrupted = windows.clone()
    corrupted[prompts, places] = others
    return Task("skipgram", windows, corrupted, right, wrong)
