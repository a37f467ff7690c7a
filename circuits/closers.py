"""Which closer a model expects: the probability of each kind over all tokens that begin with it.

The statistic is which closer, not when: how much a closer is expected at all cancels in the log-odds.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from ablations import forward, rerun
from ablations.changes import Change
from ablations.forward import Weights
from ablations.models import Config
from ablations.not_measurable import NotMeasurable
from ablations.substitutes import Values
from circuits.brackets import KINDS

ROWS_AT_ONCE = 16


class Closers(NamedTuple):
    """Closers of a text, in the order of their rows, and the kinds each is measured against."""

    row: Int64[Tensor, " closer"]  # ascending
    pos: Int64[Tensor, " closer"]  # of the closer's own token
    right: Int64[Tensor, " closer"]  # index into KINDS
    wrong: Bool[Tensor, "closer kind"]


def closer_tokens(strings: Sequence[str]) -> dict[str, Int64[Tensor, " token"]]:
    """The tokens of each kind of closer: those whose first character but spaces is it; strings: the decoded vocabulary.

    Raises NotMeasurable where a kind has none.
    """
    begun = [string.lstrip()[:1] for string in strings]
    kind_tokens = {kind: torch.tensor([token for token, first in enumerate(begun) if first == kind]) for kind in KINDS}
    missing = [kind for kind, tokens in kind_tokens.items() if not len(tokens)]
    if missing:
        raise NotMeasurable(
            f"no token begins with {' or '.join(missing)}: use a tokenizer that has all of {' '.join(KINDS)}"
        )
    return kind_tokens


def by_kind(
    logits: Float[Tensor, "*batch vocab"], tokens: dict[str, Int64[Tensor, " token"]]
) -> Float[Tensor, "*batch kind"]:
    """Log of each kind's summed probability, up to a constant that all kinds share; in the order of `tokens`.

    tokens: those of each kind, as `closer_tokens` gives them.
    """
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


def log_odds_under(
    weights: Weights,
    cfg: Config,
    tokens: Int64[Tensor, "row pos"],
    closers: Closers,
    kind_tokens: Mapping[str, Int64[Tensor, " token"]],
    changes: Collection[Change],
    values: Values,
) -> Float[Tensor, "change closer"]:
    """`log_odds` of every closer under each change, predicted from the token before it.

    kind_tokens: as `closer_tokens` gives them; changes: an empty one is the clean run; values: what stands in for the z
    of removed heads and cut sources. Changes are run on a few rows at a time.
    """
    # only the closers' columns of the unembedding are needed; their tokens are renumbered
    columns = torch.cat([*kind_tokens.values()])
    renumbered = torch.arange(len(columns)).split([*map(len, kind_tokens.values())])
    kind_columns = dict(zip(kind_tokens, renumbered, strict=True))
    narrow = {**weights, **{f"unembed.{name}": weights[f"unembed.{name}"][..., columns] for name in ("W_U", "b_U")}}
    parts = []
    with torch.no_grad():
        for start in range(0, len(tokens), ROWS_AT_ONCE):
            block = slice(*torch.searchsorted(closers.row, torch.tensor([start, start + ROWS_AT_ONCE])).tolist())
            row, pos = closers.row[block] - start, closers.pos[block] - 1
            clean = rerun.clean_run(weights, cfg, tokens[start : start + ROWS_AT_ONCE])
            run = rerun.prepare(weights, cfg, clean, values)
            residuals = (rerun.final_residual(run, change)[row, pos] for change in changes)
            kinds = (by_kind(forward.unembed(narrow, cfg, residual), kind_columns) for residual in residuals)
            parts.append(
                torch.stack([log_odds(of_kinds, closers.right[block], closers.wrong[block]) for of_kinds in kinds])
            )
    return torch.cat(parts, dim=1)
