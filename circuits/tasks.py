"""A task: prompts on which a model does something, corrupted ones on which it should not, and how well it does it."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ablations.forward import check_targets, check_tokens
from ablations.models import Config


class Task(NamedTuple):
    """Prompts of one length, padded to it where they are uneven (`ablations.padding`), and for each the right answer
    after its last token and a wrong one.
    """

    name: str
    clean: Int64[Tensor, "prompt pos"]
    corrupted: Int64[Tensor, "prompt pos"]
    right: Int64[Tensor, " prompt"]
    wrong: Int64[Tensor, " prompt"]


# Takes the task and the logits after the last token to a number by prompt.
Metric = Callable[[Task, Float[Tensor, "prompt last vocab"]], Float[Tensor, " prompt"]]


def logit_difference(task: Task, logits: Float[Tensor, "prompt pos vocab"]) -> Float[Tensor, " prompt"]:
    """Logit of the right answer minus that of the wrong one, after the last token."""
    last = logits[:, -1]
    prompts = torch.arange(len(last))
    return last[prompts, task.right] - last[prompts, task.wrong]


def accuracy(task: Task, logits: Float[Tensor, "prompt pos vocab"]) -> float:
    """Share of the prompts after which the right answer has the highest logit."""
    return float((logits[:, -1].argmax(-1) == task.right).float().mean())


def check_task(task: Task, cfg: Config) -> None:
    """Raises ValueError for prompts and answers that do not correspond, or that the model cannot read."""
    if task.clean.shape != task.corrupted.shape:
        shapes = f"clean prompts {list(task.clean.shape)}, corrupted prompts {list(task.corrupted.shape)}"
        raise ValueError(f"{shapes}: their positions must correspond, make both as many and as long")
    if not len(task.clean) == len(task.right) == len(task.wrong):
        answers = f"{len(task.right)} right and {len(task.wrong)} wrong answers"
        raise ValueError(f"{len(task.clean)} prompts, {answers}: give one of each for every prompt")
    for tokens in (task.clean, task.corrupted, task.right[:, None], task.wrong[:, None]):
        check_tokens(cfg, tokens)
    for answers_of_one_kind in (task.right, task.wrong):
        check_targets(cfg, answers_of_one_kind)


def induction(rows: Int64[Tensor, "prompt period"], others: Int64[Tensor, " prompt"]) -> Task:
    """The induction task: rows that stand one and a half times; the answer is what followed the last token before.

    Corrupted prompts have another token in place of its first occurrence, so that there is nothing to repeat. The wrong
    answer is another token of the row. rows: distinct tokens in each, at least four; others: a token for each that is
    not in its row. Raises ValueError where these do not hold.
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


def replaced(
    name: str,
    windows: Int64[Tensor, "prompt pos"],
    places: Int64[Tensor, " prompt"],
    others: Int64[Tensor, " prompt"],
    right: Int64[Tensor, " prompt"],
    wrong: Int64[Tensor, " prompt"],
) -> Task:
    """A task of text in which one token, after the first, tells the answer; corrupted prompts have another there.

    places: where that token stands in each window; others: what replaces it. In "brackets" it is the opener, and the
    one that replaces it makes the wrong answer the right one; in "skipgram" it is the far token of the context. Raises
    ValueError where the token is the first, is not replaced, or the wrong answer is the right one.
    """
    prompts = torch.arange(len(windows))
    if (places < 1).any() or (windows[prompts, places] == others).any() or (right == wrong).any():
        raise ValueError(
            "each prompt needs a token after the first, another one that replaces it, and a wrong answer that is not "
            "the right one: give those that are not of the same"
        )
    corrupted = windows.clone()
    corrupted[prompts, places] = others
    return Task(name, windows, corrupted, right, wrong)
