"""Prompts and answers of a task as tokens, from text: what `Task.from_strings` makes of strings.

A prompt is encoded as it stands, after the token that starts a text where the tokenizer has one. An answer is encoded
by itself, as it stands: " cat" and "cat" are different tokens to most tokenizers, and most models expect the first
after a word. Of answers of several tokens the first one counts in which the right and the wrong one differ; what they
share before it stands at the end of both prompts.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Int64
from tokenizers import Tokenizer
from torch import Tensor

from ablations.models import is_model
from ablations.text_start import starts_with

Strings = str | Sequence[str]


class Encoder(NamedTuple):
    """How text becomes tokens."""

    encode: Callable[[str], list[int]]  # nothing added
    decode: Callable[[list[int]], str]  # special tokens, too
    start: tuple[int, ...]  # the token that starts a text; none where the tokenizer has no such token
    longest: int | None  # tokens of the model's context; None where no model was given


class Pair(NamedTuple):
    """The tokens of a prompt, of its corrupted one, and the answers after them."""

    clean: tuple[int, ...]
    corrupted: tuple[int, ...]
    right: int
    wrong: int


class Rows(NamedTuple):
    """The tensors of a task; lengths: tokens of each prompt where they are uneven, else None."""

    clean: Int64[Tensor, "prompt pos"]
    corrupted: Int64[Tensor, "prompt pos"]
    right: Int64[Tensor, " prompt"]
    wrong: Int64[Tensor, " prompt"]
    lengths: Int64[Tensor, " prompt"] | None


def encoder(tokenizer: Any) -> Encoder:
    """Of a tokenizer of `tokenizers` or transformers, or of a model that has one; raises ValueError for anything else.

    What starts a text: the token that a tokenizer of `tokenizers` puts there itself, or <|endoftext|>; the bos_token of
    one of transformers; and that of a model's tokenizer where the model is given texts that begin with it.
    """
    if is_model(tokenizer):
        if tokenizer.tokenizer is None:
            raise ValueError("the model has no tokenizer: give one, or a task of int64 tokens")
        own = encoder(tokenizer.tokenizer)
        start = own.start if tokenizer.cfg.default_prepend_bos else ()
        return Encoder(own.encode, own.decode, start, int(tokenizer.cfg.n_ctx))
    if isinstance(tokenizer, Tokenizer):
        whole = Tokenizer.from_str(tokenizer.to_str())
        whole.no_truncation()
        whole.no_padding()
        number = whole.token_to_id(starts_with(whole))
        start = () if number is None else (number,)
        return Encoder(
            lambda text: whole.encode(text, add_special_tokens=False).ids,
            lambda ids: whole.decode(ids, skip_special_tokens=False),
            start,
            None,
        )
    if callable(getattr(tokenizer, "encode", None)) and hasattr(tokenizer, "bos_token_id"):
        start = () if tokenizer.bos_token_id is None else (int(tokenizer.bos_token_id),)
        return Encoder(
            lambda text: list(tokenizer.encode(text, add_special_tokens=False)), tokenizer.decode, start, None
        )
    raise ValueError(
        f"{type(tokenizer).__name__} encodes no text: give a tokenizer (tokenizers, transformers), or a model with one"
    )


def pair(of: Encoder, clean: str, corrupted: str, right: str, wrong: str) -> Pair:
    """One prompt and its answers; raises ValueError where they make no pair, with what would."""
    one, other, good, bad = (
        tokens(of, text, what)
        for text, what in ((clean, "clean"), (corrupted, "corrupted"), (right, "right"), (wrong, "wrong"))
    )
    same = next((at for at, (a, b) in enumerate(zip(good, bad, strict=False)) if a != b), None)
    if same is None:
        raise ValueError(
            f"right {right!r} is {_pieces(of, good)}, wrong {wrong!r} {_pieces(of, bad)}: one is the start of the "
            "other, or both are the same; give answers that differ in a token"
        )
    one, other = ((*of.start, *prompt, *good[:same]) for prompt in (one, other))
    if len(one) != len(other):
        raise ValueError(
            f"clean {clean!r} is {len(one)} tokens {_pieces(of, one)}, corrupted {corrupted!r} {len(other)} "
            f"{_pieces(of, other)}: their positions must correspond, make both as long in tokens"
        )
    if one == other:
        raise ValueError(f"clean and corrupted are the same tokens {_pieces(of, one)}: corrupt what tells the answer")
    if of.longest is not None and len(one) > of.longest:
        raise ValueError(f"{len(one)} tokens, and the model's context is {of.longest}: shorten the prompts")
    return Pair(one, other, good[same], bad[same])


def _pieces(of: Encoder, found: Sequence[int]) -> list[str]:
    """The text of each token, for a person to see where two prompts part."""
    return [of.decode([token]) for token in found]


def tokens(of: Encoder, text: str, what: str) -> tuple[int, ...]:
    """The tokens of a text, nothing added; raises ValueError for none, and for what the tokenizer cannot encode."""
    if not isinstance(text, str) or not text:
        raise ValueError(f"{what}={text!r}: give text that is not empty")
    try:
        found = tuple(of.encode(text))
    except Exception as error:  # tokenizers raises a bare Exception
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ValueError(f"{what}={text!r}: the tokenizer cannot encode it ({reason}); use other text") from None
    if not found:
        raise ValueError(f"{what}={text!r}: the tokenizer makes no token of it; use other text")
    return found


def pairs(of: Encoder, clean: Strings, corrupted: Strings, right: Strings, wrong: Strings) -> list[Pair]:
    """Every prompt with its answers; raises ValueError for lists of unequal number, and as `pair` does, with the number
    of the prompt, from 0.
    """
    given = {"clean": clean, "corrupted": corrupted, "right": right, "wrong": wrong}
    each = {what: as_list(texts) for what, texts in given.items()}
    counts = {what: len(texts) for what, texts in each.items()}
    if len({*counts.values()}) > 1 or not counts["clean"]:
        told = ", ".join(f"{number} {what}" for what, number in counts.items())
        raise ValueError(f"{told}: give as many of each, at least one")
    made: list[Pair] = []
    for number, texts in enumerate(zip(*each.values(), strict=True)):
        try:
            made.append(pair(of, *texts))
            again(made)
        except ValueError as error:
            raise ValueError(f"prompt {number}: {error}") from None
    return made


def again(made: Sequence[Pair]) -> None:
    """Raises ValueError where the last pair is one of those before it, which a test over prompts would count twice."""
    if made[-1] in made[:-1]:
        raise ValueError(f"it is prompt {made.index(made[-1])} once more: leave it out, tests would count it twice")


def stacked(of: Encoder, made: Sequence[Pair]) -> Rows:
    """The pairs as rows. Shorter ones are filled up after their end, where causal attention does not see it."""
    lengths = [len(each.clean) for each in made]
    fill = (of.start or (0,))[0]
    clean, corrupted = (
        torch.tensor([[*prompt, *(fill,) * (max(lengths) - len(prompt))] for prompt in prompts], dtype=torch.int64)
        for prompts in ([each.clean for each in made], [each.corrupted for each in made])
    )
    right, wrong = (
        torch.tensor(answers, dtype=torch.int64)
        for answers in ([each.right for each in made], [each.wrong for each in made])
    )
    uneven = torch.tensor(lengths, dtype=torch.int64) if len({*lengths}) > 1 else None
    return Rows(clean, corrupted, right, wrong, uneven)


def as_list(texts: Strings) -> list[str]:
    """Several texts as a list; one text as a list of one."""
    return [texts] if isinstance(texts, str) else list(texts)
