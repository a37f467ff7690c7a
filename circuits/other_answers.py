"""Corrupted prompts out of the prompts themselves: each gets another one of the set, which has another answer.

The corrupted prompt is then as natural as the clean one, and its right answer is the wrong one here ("symmetric token
replacement", as interchange of whole prompts: Zhang and Nanda, arXiv:2309.16042). Both have as many tokens.
"""

from collections.abc import Sequence

import numpy as np

from circuits.task_text import Encoder, Strings, as_list, tokens


def other_answers(of: Encoder, clean: Strings, right: Strings, seed: int = 0) -> tuple[list[str], list[str]]:
    """A corrupted prompt and a wrong answer for each prompt: those of the next one with as many tokens and another
    answer, in an order drawn for the seed.

    Answers are other ones where neither is the start of the other, in tokens. Raises ValueError for lists of unequal
    number, and for a prompt for which there is none.
    """
    prompts, answers = as_list(clean), as_list(right)
    if len(prompts) != len(answers) or not prompts:
        raise ValueError(f"{len(prompts)} clean, {len(answers)} right: give as many of each, at least one")
    lengths = [len(tokens(of, text, "clean")) for text in prompts]
    encoded = [tokens(of, text, "right") for text in answers]
    order = np.random.default_rng(seed).permutation(len(prompts)).tolist()
    chosen = []
    for number, own in enumerate(encoded):
        at = order.index(number)
        fits = (
            other
            for other in [*order[at + 1 :], *order[:at]]
            if lengths[other] == lengths[number] and _differ(encoded[other], own) and prompts[other] != prompts[number]
        )
        if (other := next(fits, None)) is None:
            raise ValueError(
                f"prompt {number}: no other prompt of {lengths[number]} tokens has another answer than "
                f"{answers[number]!r}; give one, or corrupted prompts of your own"
            )
        chosen.append(other)
    return [prompts[other] for other in chosen], [answers[other] for other in chosen]


def _differ(one: Sequence[int], other: Sequence[int]) -> bool:
    return any(a != b for a, b in zip(one, other, strict=False))
