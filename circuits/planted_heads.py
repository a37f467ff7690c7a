"""The heads of planted models, each written by hand in features."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.planted_layout import (
    BOS,
    CONTEXT,
    D_HEAD,
    D_MODEL,
    EVERY,
    FLAG,
    HARD,
    OPENER,
    PLACE,
    PREVIOUS,
    QUOTE,
    QUOTE_END,
    RECENT,
    ROUND,
    ROUND_END,
    SAID,
    SAME,
    SQUARE,
    SQUARE_END,
    TOKEN,
    UNREAD,
    VOCABULARY,
    followers,
    triples,
)


class HeadPlan(NamedTuple):
    """A head's weights in features: what of them it reads as queries, keys and values, and what it writes."""

    W_Q: Float[Tensor, "features d_head"]
    W_K: Float[Tensor, "features d_head"]
    W_V: Float[Tensor, "features d_head"]
    W_O: Float[Tensor, "d_head features"]


def _empty() -> HeadPlan:
    """A head that reads and writes nothing."""
    reads, writes = torch.zeros(D_MODEL - 1, D_HEAD), torch.zeros(D_HEAD, D_MODEL - 1)
    return HeadPlan(reads, reads.clone(), reads.clone(), writes)


def previous_token(into: slice) -> HeadPlan:
    """A head that attends to the position before (the first to itself) and writes its token into these features."""
    plan = _empty()
    plan.W_Q[PLACE, :CONTEXT] = HARD * torch.eye(CONTEXT).roll(-1, dims=1)
    plan.W_Q[PLACE.start, :CONTEXT] = HARD * torch.eye(CONTEXT)[0]
    plan.W_K[PLACE, :CONTEXT] = torch.eye(CONTEXT)
    plan.W_V[TOKEN, :VOCABULARY] = EVERY
    plan.W_O[:VOCABULARY, into] = EVERY
    return plan


def _itself(plan: HeadPlan) -> HeadPlan:
    """The plan of a head, now attending to its own position."""
    plan.W_Q[PLACE, :CONTEXT] = HARD * torch.eye(CONTEXT)
    plan.W_K[PLACE, :CONTEXT] = torch.eye(CONTEXT)
    return plan


def _else_bos(plan: HeadPlan, score: float = HARD / 2) -> HeadPlan:
    """The plan of a head, now with a score for BOS that beats what does not fit."""
    plan.W_Q[TOKEN, -1] = 1.0
    plan.W_K[TOKEN.start + BOS, -1] = score
    return plan


def induction() -> HeadPlan:
    """A head that attends to the token after an earlier occurrence of its own, and says it."""
    plan = _else_bos(_empty())
    plan.W_Q[TOKEN, :VOCABULARY] = HARD * EVERY
    plan.W_K[PREVIOUS, :VOCABULARY] = EVERY
    plan.W_V[TOKEN, :VOCABULARY] = EVERY
    return _saying(plan)


def _saying(plan: HeadPlan, how_loud: float = 1.0) -> HeadPlan:
    """The plan of a head, now writing its values as what it says; BOS's where nothing reads them."""
    plan.W_O[:VOCABULARY, SAID] = how_loud * EVERY
    plan.W_O[BOS, SAID] = 0.0
    plan.W_O[BOS, UNREAD.start + BOS] = how_loud
    return plan


def skip_trigram() -> HeadPlan:
    """A head that attends from b to an earlier a and says c, for each of the `triples`."""
    plan = _else_bos(_empty())
    says = EVERY.clone()
    for number, (a, b, c) in enumerate(triples()):
        plan.W_Q[TOKEN.start + b, number] = HARD
        plan.W_K[TOKEN.start + a, number] = 1.0
        says[a] = EVERY[c]
    plan.W_V[TOKEN, :VOCABULARY] = says
    return _saying(plan)


def flag() -> HeadPlan:
    """A head that writes 1 into `FLAG` where the last quote opened, -1 where it closed or there is none."""
    plan = _recent(_empty())
    plan.W_Q[TOKEN, 1] = 1.0
    plan.W_K[[TOKEN.start + token for token in (BOS, QUOTE, QUOTE_END)], 1] = OPENER
    plan.W_V[TOKEN, 0] = -1.0
    plan.W_V[TOKEN.start + QUOTE, 0] = 1.0
    plan.W_O[0, FLAG] = 1.0
    return plan


def closer() -> HeadPlan:
    """A head that attends to the latest opener with the same flag as its own position, and says its closer."""
    plan = _recent(_empty())
    plan.W_Q[TOKEN, 1] = 1.0
    plan.W_K[[TOKEN.start + ROUND, TOKEN.start + SQUARE], 1] = OPENER
    plan.W_Q[FLAG, 2], plan.W_K[FLAG, 2] = SAME, 1.0
    says = EVERY.clone()
    says[ROUND], says[SQUARE] = EVERY[ROUND_END], EVERY[SQUARE_END]
    plan.W_V[TOKEN, :VOCABULARY] = says
    return _saying(plan)


def _recent(plan: HeadPlan) -> HeadPlan:
    """The plan of a head, now with a score that grows with the key's position."""
    plan.W_Q[TOKEN, 0] = 1.0
    plan.W_K[PLACE, 0] = RECENT * torch.arange(CONTEXT)
    return plan


def after_previous() -> HeadPlan:
    """A head that attends to its own position and says what follows the token before it (`followers`)."""
    plan = _itself(_empty())
    plan.W_V[PREVIOUS, :VOCABULARY] = EVERY[followers()]
    return _saying(plan, 0.6)


def decoy(layer: int) -> HeadPlan:
    """A previous-token head in layer 0, a head that attends to itself in layer 1; both write what nothing reads."""
    if layer == 0:
        return previous_token(UNREAD)
    plan = _itself(_empty())
    plan.W_V[TOKEN, :VOCABULARY] = EVERY
    plan.W_O[:VOCABULARY, UNREAD] = EVERY
    return plan
