"""A task: prompts on which a model does something, corrupted ones on which it should not, and how well it does it."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from ablations import padding
from ablations.forward import check_targets, check_tokens
from ablations.models import Config
from ablations.padding import Padding
from circuits import other_answers, task_text
from circuits.task_text import Strings


class Task(NamedTuple):
    """Prompts of one length, padded to it where they are uneven (`ablations.padding`), and for each the right answer
    after its last token and a wrong one.
    """

    name: str
    clean: Int64[Tensor, "prompt pos"]
    corrupted: Int64[Tensor, "prompt pos"]
    right: Int64[Tensor, " prompt"]
    wrong: Int64[Tensor, " prompt"]
    # Tokens of each prompt, what follows them being no text; None: what is padding the model's tokenizer says.
    lengths: Int64[Tensor, " prompt"] | None = None

    @classmethod
    def from_strings(
        cls, clean: Strings, corrupted: Strings, right: Strings, wrong: Strings, tokenizer: Any, *, name: str = "own"
    ) -> "Task":
        """A task of text: prompts, corrupted ones, and a right and a wrong answer after each.

        Arguments:

            clean, corrupted   as many of each, one text or several; those of a pair have as many tokens
            right, wrong       what comes next, encoded as it stands: mind the space that words begin with. The first
                               token counts in which the two differ; what they share before goes to the prompts' ends
            tokenizer          one of `tokenizers` or transformers, or a model with one (which also says what fits)
            name               what the task is called

        Prompts begin with the token that starts a text, as the tokenizer says it (`circuits.task_text.encoder`).
        Pairs may be of different lengths: `lengths` says where each ends, and each is measured as if it stood alone.

        Raises ValueError, with the number of the prompt, for a pair of different lengths, answers of which one is the
        start of the other, a prompt that is there twice, and text that has no tokens.

        Example:

            >>> from tokenizers import Tokenizer, models, pre_tokenizers
            >>> words = ["<|endoftext|>", "one", "two", "three", "a", "b"]
            >>> tokenizer = Tokenizer(models.WordLevel({word: at for at, word in enumerate(words)}))
            >>> tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
            >>> task = Task.from_strings("one two one", "three two one", "two", "three", tokenizer)
            >>> task.clean, task.right
            (tensor([[0, 1, 2, 1]]), tensor([2]))
        """
        of = task_text.encoder(tokenizer)
        return cls(name, *task_text.stacked(of, task_text.pairs(of, clean, corrupted, right, wrong)))

    @classmethod
    def with_other_answers(
        cls, clean: Strings, right: Strings, tokenizer: Any, *, seed: int = 0, name: str = "own"
    ) -> "Task":
        """A task of prompts and right answers alone: each prompt's corrupted one is another of these prompts, of as
        many tokens, and the answer of that one is the wrong one (`circuits.other_answers`).

        Raises ValueError where a prompt has no such other one, and as `from_strings` does.
        """
        corrupted, wrong = other_answers.other_answers(task_text.encoder(tokenizer), clean, right, seed)
        return cls.from_strings(clean, corrupted, right, wrong, tokenizer, name=name)


# Takes the task and the logits after the last token to a number by prompt.
Metric = Callable[[Task, Float[Tensor, "prompt last vocab"]], Float[Tensor, " prompt"]]


def after_prompts(task: Task, logits: Float[Tensor, "prompt pos vocab"]) -> Float[Tensor, "prompt vocab"]:
    """The logits after the last token of each prompt, of all positions or of the last alone."""
    if task.lengths is None or logits.shape[1] == 1:
        return logits[:, -1]
    return logits[torch.arange(len(logits)), task.lengths.to(logits.device) - 1]


def is_text(task: Task, padded: Padding | None) -> Bool[Tensor, "prompt pos"]:
    """Which positions are text: neither the tokenizer's padding nor what fills up uneven prompts."""
    text = padding.is_text(padded, task.clean)
    return text if task.lengths is None else text & (torch.arange(text.shape[1]) < task.lengths[:, None])


def ends(task: Task, padded: Padding | None) -> Int64[Tensor, " prompt"]:
    """The column in which the last token of each prompt stands."""
    return padding.ends(padded, task.clean) if task.lengths is None else task.lengths - 1


def logit_difference(task: Task, logits: Float[Tensor, "prompt pos vocab"]) -> Float[Tensor, " prompt"]:
    """Logit of the right answer minus that of the wrong one, after the last token."""
    last = after_prompts(task, logits)
    prompts = torch.arange(len(last))
    return last[prompts, task.right] - last[prompts, task.wrong]


def accuracy(task: Task, logits: Float[Tensor, "prompt pos vocab"]) -> float:
    """Share of the prompts after which the right answer has the highest logit."""
    return float((after_prompts(task, logits).argmax(-1) == task.right).float().mean())


def check_task(task: Task, cfg: Config) -> None:
    """Raises ValueError for prompts and answers that do not correspond, or that the model cannot read."""
    if task.clean.shape != task.corrupted.shape:
        shapes = f"clean prompts {list(task.clean.shape)}, corrupted prompts {list(task.corrupted.shape)}"
        raise ValueError(f"{shapes}: their positions must correspond, make both as many and as long")
    if not len(task.clean) == len(task.right) == len(task.wrong):
        answers = f"{len(task.right)} right and {len(task.wrong)} wrong answers"
        raise ValueError(f"{len(task.clean)} prompts, {answers}: give one of each for every prompt")
    _check_lengths(task)
    for tokens in (task.clean, task.corrupted, task.right[:, None], task.wrong[:, None]):
        check_tokens(cfg, tokens)
    for answers_of_one_kind in (task.right, task.wrong):
        check_targets(cfg, answers_of_one_kind)


def _check_lengths(task: Task) -> None:
    if task.lengths is None:
        return
    prompts, longest = task.clean.shape
    if len(task.lengths) != prompts or not ((task.lengths >= 1) & (task.lengths <= longest)).all():
        given = task.lengths.tolist()
        raise ValueError(f"lengths={given}: give one of 1 to {longest} tokens for each of the {prompts} prompts")


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
