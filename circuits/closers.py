"""Which closer a model expects: the probability of each kind over all tokens that begin with it.

The statistic is which closer, not when: how much a closer is expected at all cancels in the log-odds.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from circuits.brackets import KINDS


def closer_tokens(strings: Sequence[str]) -> dict[str, Int64[Tensor, " token"]]:
    """Of decoded vocabulary strings, by kind: the tokens whose first character that is no space is that closer.

    Raises ValueError where a kind has none.
    """
    begun = [string.lstrip()[:1] for string in strings]
    found = {kind: torch.tensor([at for at, first in enumerate(begun) if first == kind]) for kind in KINDS}
    missing = [kind for kind, tokens in found.items() if not len(tokens)]
    if missing:
        raise ValueError(
            f"no token begins with {' or '.join(missing)}: use a tokenizer that has all of {' '.join(KINDS)}"
        )
    return found


def by_kind(
    logits: Float[Tensor, "*batch vocab"], tokens: dict[str, Int64[Tensor, " token"]]
) -> Float[Tensor, "*batch kind"]:
    """Log of each kind's summed probability, up to a constant that all kinds share; in the order of `tokens`."""
    return torch.stack([logits[..., chosen].logsumexp(-1) for chosen in tokens.values()], dim=-1)


def log_odds(
    kinds: Float[Tensor, "closer kind"], right: Int64[Tensor, " closer"], wrong: Bool[Tensor, "closer kind"]
) -> Float[Tensor, " closer"]:
    """Log of the right kind's probability against that of all wrong ones together; positive: the right one leads.

    kinds: as `by_kind` gives them. With logits of 2 for ")" and 0 for "]" and "}", each one token, ")" against "]" has
    log-odds 2, and against both 2 - log 2. Raises ValueError where no kind is wrong, or the right one is.
    """
    rows = torch.arange(len(kinds))
    if wrong[rows, right].any() or not wrong.any(-1).all():
        raise ValueError("every closer needs a wrong kind other than the right one: mark at least one")
    return kinds[rows, right] - kinds.masked_fill(~wrong, -torch.inf).logsumexp(-1)
