"""Text as tokens: what a user gives as prompts, as strings where the model has a tokenizer."""

from collections.abc import Sequence

from jaxtyping import Int64
from torch import Tensor

from ablations.models import Model

Prompts = str | Sequence[str] | Int64[Tensor, "_ _"]  # [row, pos]; the sizes are bound to no other argument's


def as_tokens(model: Model, prompts: Prompts) -> Int64[Tensor, "row pos"]:
    """The tokens themselves, or those of one string or several, as the model's own `to_tokens` encodes them: with BOS,
    and padded where they are uneven (`ablations.padding`). Raises ValueError for strings without a tokenizer, for none,
    and for an empty one.
    """
    if isinstance(prompts, Tensor):
        return prompts
    texts = [prompts] if isinstance(prompts, str) else list(prompts)
    if not texts or not all(isinstance(text, str) and text for text in texts):
        raise ValueError(f"prompts {prompts!r}: give text, several texts, or int64 tokens [row, pos]")
    if model.tokenizer is None:
        raise ValueError(f"{texts[0]!r} is text, and the model has no tokenizer: give int64 tokens [row, pos]")
    return model.to_tokens(texts)
