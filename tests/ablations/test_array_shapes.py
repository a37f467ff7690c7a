"""Arrays with a number for each token, row, head or document are taken in one shape and refused in others."""

import re
from collections.abc import Callable, Iterator

import jaxtyping
import numpy as np
import pytest
import torch

from ablations import ablate, affected, effects, forward, heads, overlap, substitutes
from circuits.tasks import Task, check_task
from tests.conftest import hooked_only, make_model

TOKENS = np.arange(80).reshape(2, 40)
ONES = np.ones((2, 39))
MODEL = make_model(1)
WEIGHTS = forward.weights_of(MODEL)
ROWS = torch.randint(50, (3, 8), generator=torch.Generator().manual_seed(0))
HARM = np.arange(5.0)
MASK = HARM > 2
READ, PREDICTED = torch.tensor([[13, 2, 1, 3]]), torch.tensor([[1, 2, 13, 3]])  # the last token has no logit


def scored(array: np.ndarray = ONES, documents: np.ndarray = TOKENS, positions: np.ndarray = TOKENS) -> affected.Hits:
    return affected.scored(array, TOKENS, documents, positions, bos=-1)


def smaller(tokens: torch.Tensor, call: Callable) -> object:
    return call(make_model(1, d_vocab=14, d_vocab_out=13), tokens)


def task(right: int) -> object:
    one = torch.tensor([right])
    return check_task(Task("t", READ, READ, one, torch.tensor([2])), make_model(1, d_vocab=14, d_vocab_out=13).cfg)


def zeroed(model, tokens: torch.Tensor) -> object:
    return effects.token_losses(model, tokens, heads.zero([(0, 0)]))


def differing(model, tokens: torch.Tensor) -> object:
    return effects.token_effects(model, tokens, heads.zero([(0, 0)]))


def by_name(model, tokens: torch.Tensor) -> object:
    return ablate(model, tokens, "L0H0", method="zero")


CASES = {  # the call with what fits, the same with what does not, and what is said
    "effects": (scored, lambda: scored(np.ones((2, 40))), "effects [2, 40] for tokens [2, 40]: give [2, 39]"),
    "documents": (scored, lambda: scored(documents=TOKENS[:, 1:]), "documents [2, 39]"),
    "positions": (scored, lambda: scored(positions=TOKENS[0]), "positions [40]"),
    "clusters": (
        lambda: effects.clustered(HARM, np.arange(5)),
        lambda: effects.clustered(HARM, np.arange(4)),
        "values of shape [5] and clusters of shape [4]",
    ),
    "a mask of numbers": (
        lambda: overlap.mass(HARM, MASK, np.arange(5), shuffles=3),
        lambda: overlap.mass(HARM, MASK.astype(int), np.arange(5), shuffles=3),
        "a mask of int64 [5] for effects [5]",
    ),
    "a mask of other tokens": (
        lambda: overlap.share(HARM, MASK, np.arange(5)),
        lambda: overlap.share(HARM, MASK[:4], np.arange(5)),
        "a mask of bool [4] for effects [5]",
    ),
    "values of each row": (
        lambda: substitutes.fixed({(0, 0): torch.zeros(8, 5)}),
        lambda: substitutes.fixed({(0, 0): torch.zeros(3, 8, 5)}),
        "[3, 8, 5] is not the same on every row",
    ),
    "donors' documents": (
        lambda: substitutes.pool(WEIGHTS, MODEL.cfg, ROWS, np.zeros((3, 8), dtype=int)),
        lambda: substitutes.pool(WEIGHTS, MODEL.cfg, ROWS, np.zeros((3, 7), dtype=int)),
        "documents [3, 7] for tokens [3, 8]",
    ),
    "losses of a smaller vocabulary": (
        lambda: smaller(READ, zeroed),
        lambda: smaller(PREDICTED, zeroed),
        "token 13 is to be predicted",
    ),
    "effects in a smaller vocabulary": (
        lambda: smaller(READ, differing),
        lambda: smaller(PREDICTED, differing),
        "token 13 is to be predicted",
    ),
    "ablation in a smaller vocabulary": (
        lambda: smaller(READ, by_name),
        lambda: smaller(PREDICTED, by_name),
        "token 13 is to be predicted",
    ),
    "answers of a smaller vocabulary": (lambda: task(3), lambda: task(13), "token 13 is to be predicted"),
}


@pytest.fixture(autouse=True)
def _as_users_run_it() -> Iterator[None]:
    """Without the checks of annotations, which only tests have."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@hooked_only
@pytest.mark.parametrize("name", CASES)
def test_one_shape_is_taken_and_another_refused(name: str) -> None:
    fits, other, said = CASES[name]
    fits()
    with pytest.raises(ValueError, match=re.escape(said)) as caught:
        other()
    assert "\n" not in str(caught.value)
