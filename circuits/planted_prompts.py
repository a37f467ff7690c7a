"""The tasks of planted models: prompts drawn for a seed, corrupted ones, and their answers."""

from collections.abc import Callable

import torch
from jaxtyping import Int64
from torch import Tensor

from circuits.planted_layout import BOS, CONTEXT, QUOTE, QUOTE_END, ROUND, SQUARE, VOCABULARY, followers, triples
from circuits.tasks import Task

PROMPTS = 64


def distinct(count: int, generator: torch.Generator, among: range) -> Int64[Tensor, " token"]:
    """So many different tokens, in random order."""
    return torch.tensor(list(among))[torch.randperm(len(among), generator=generator)[:count]]


def _prompts(seed: int, draw: Callable[[torch.Generator], tuple[Tensor, Tensor, int, int]], name: str) -> Task:
    """The task of `PROMPTS` draws; draw gives a clean and a corrupted prompt, the right and a wrong answer."""
    generator = torch.Generator().manual_seed(1000 + seed)
    clean, corrupted, right, wrong = zip(*(draw(generator) for _ in range(PROMPTS)), strict=True)
    return Task(name, torch.stack(clean), torch.stack(corrupted), torch.tensor(right), torch.tensor(wrong))


def repeats(seed: int) -> Task:
    """Prompts "BOS ... a b ... z a" with the answer b; the corrupted prompt has another token for the first a.

    The wrong answer is in the prompt as well.
    """

    def draw(generator: torch.Generator) -> tuple[Tensor, Tensor, int, int]:
        drawn = distinct(CONTEXT, generator, range(1, VOCABULARY))
        tokens, other = torch.cat([torch.tensor([BOS]), drawn[: CONTEXT - 2], drawn[:1]]), drawn[-1]
        at = int(torch.randint(1, CONTEXT - 4, (), generator=generator))
        tokens[-1] = tokens[at]
        right, followed = int(tokens[at + 1]), int(followers()[tokens[-2]])
        wrong = next(t for t in tokens[1:-1].tolist() if t not in (right, followed, int(tokens[at])))
        corrupted = tokens.clone()
        corrupted[at] = other
        return (tokens, corrupted, right, wrong) if right != followed else draw(generator)

    return _prompts(seed, draw, "repeats")


def gapped(seed: int) -> Task:
    """Prompts "BOS ... x y" whose answer is what follows x, whatever y; the corrupted prompt has another x.

    y is new, so nothing is repeated.
    """

    def draw(generator: torch.Generator) -> tuple[Tensor, Tensor, int, int]:
        drawn = distinct(CONTEXT, generator, range(1, VOCABULARY))
        tokens = torch.cat([torch.tensor([BOS]), drawn[:-1]])
        corrupted = tokens.clone()
        corrupted[-2] = drawn[-1]
        follows = followers()
        return tokens, corrupted, int(follows[tokens[-2]]), int(follows[corrupted[-2]])

    return _prompts(seed, draw, "gapped")


def skips(seed: int) -> Task:
    """Prompts "BOS ... a ... b" with the answer c; the corrupted prompt has another token for a.

    The wrong answer is another triple's c.
    """
    known = triples()

    def draw(generator: torch.Generator) -> tuple[Tensor, Tensor, int, int]:
        triple, other = (known[n] for n in torch.randperm(len(known), generator=generator)[:2].tolist())
        others = [t for t in range(1, VOCABULARY) if t not in triple[:2]]
        filler = torch.tensor(others)[torch.randperm(len(others), generator=generator)[:CONTEXT]]
        tokens = torch.cat([torch.tensor([BOS]), filler[: CONTEXT - 1]])
        tokens[-1] = triple[1]
        corrupted = tokens.clone()
        at = int(torch.randint(1, CONTEXT - 1, (), generator=generator))
        tokens[at] = triple[0]
        return tokens, corrupted, triple[2], other[2]

    return _prompts(seed, draw, "skip_trigrams")


def nested(seed: int) -> Task:
    """Prompts of an opener and a quoted other opener; the answer closes the one that the quote does not shut off.

    Half of the prompts end after the quote, where it is the first opener's closer; they are corrupted by leaving the
    quote's start out. Half end inside the quote, where it is the second's; they are corrupted by an end of the quote.
    """

    def draw(generator: torch.Generator) -> tuple[Tensor, Tensor, int, int]:
        tokens = distinct(CONTEXT, generator, range(QUOTE_END + 1, VOCABULARY))
        tokens[0] = BOS
        outer, quote, inner, end = (1 + torch.randperm(CONTEXT - 2, generator=generator)[:4]).sort().values.tolist()
        swap, ends_outside = (bool(torch.randint(2, (), generator=generator)) for _ in range(2))
        first, second = (SQUARE, ROUND) if swap else (ROUND, SQUARE)
        tokens[outer], tokens[inner] = first, second
        corrupted = tokens.clone()
        if ends_outside:
            tokens[quote], tokens[end], corrupted[end] = QUOTE, QUOTE_END, QUOTE_END
        else:
            tokens[quote], corrupted[quote], corrupted[end] = QUOTE, QUOTE, QUOTE_END
        answers = (first + 2, second + 2)
        return tokens, corrupted, answers[0 if ends_outside else 1], answers[1 if ends_outside else 0]

    return _prompts(seed, draw, "nested_brackets")
