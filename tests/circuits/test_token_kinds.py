"""Repeated pairs against a literal loop; numbers of kinds against counting and drawing."""

from itertools import combinations

import numpy as np
import pytest
from scipy.special import comb

from circuits import rarefaction, token_kinds


def literal(tokens: np.ndarray) -> np.ndarray:
    found = np.zeros(tokens.shape, dtype=bool)
    for row, line in enumerate(tokens.tolist()):
        for at in range(1, len(line)):
            found[row, at] = any(line[i - 1 : i + 1] == line[at - 1 : at + 1] for i in range(1, at - 1))
    return found


@pytest.mark.parametrize("vocabulary", [1, 2, 3, 8])
def test_repeats_are_pairs_from_earlier_in_the_row(vocabulary: int) -> None:
    tokens = np.random.default_rng(vocabulary).integers(vocabulary, size=(20, 15)).astype(np.uint16)
    expected = literal(tokens)
    assert (token_kinds.repeats(tokens) == expected).all()
    assert 0 < expected.mean() < 1


def test_a_pair_does_not_repeat_itself() -> None:
    tokens = np.array([[5, 5, 5, 5, 1], [1, 2, 5, 1, 2], [1, 2, 1, 2, 0]])
    assert token_kinds.repeats(tokens).astype(int).tolist() == [[0, 0, 0, 1, 0], [0, 0, 0, 0, 1], [0, 0, 0, 1, 0]]
    assert not token_kinds.repeats(np.array([[1, 2, 3], [1, 2, 3]])).any(), "rows are apart"


def test_tokens_of_no_kind_are_a_kind() -> None:
    kinds = np.array([[True, False, True, False], [True, True, False, False]])
    assert token_kinds.with_none(kinds).tolist() == [*kinds.tolist(), [False, False, False, True]]


COUNTS = np.array([7, 1, 0, 3, 1, 2])


@pytest.mark.parametrize("size", range(15))
def test_rarefied_is_an_expectation_over_all_draws(size: int) -> None:
    kept = COUNTS[COUNTS > 0]
    exact = sum(1 - comb(14 - n, size, exact=True) / comb(14, size, exact=True) for n in kept.tolist())
    assert rarefaction.rarefied(COUNTS, size) == pytest.approx(exact, abs=1e-9)


def test_rarefied_is_the_mean_over_every_set() -> None:
    things = np.repeat(np.arange(len(COUNTS)), COUNTS)
    kinds = [len({int(things[n]) for n in chosen}) for chosen in combinations(range(14), 4)]
    assert rarefaction.rarefied(COUNTS, 4) == pytest.approx(np.mean(kinds), abs=1e-9)
    rng = np.random.default_rng(0)
    with_replacement = np.mean([len(set(rng.choice(things, 4).tolist())) for _ in range(4000)])
    assert with_replacement < np.mean(kinds) - 0.1, "not to be mistaken for draws with replacement"


def test_rarefied_of_equal_sizes_does_not_grow_with_what_was_looked_at() -> None:
    """The same kinds seen ten times as often: their number among 20 hardly changes, the number seen does."""
    rng = np.random.default_rng(1)
    share = np.full(100, 0.01)
    few, many = (rng.multinomial(n, share) for n in (60, 600))
    assert (many > 0).sum() > 2 * (few > 0).sum()
    assert rarefaction.rarefied(few, 20) == pytest.approx(rarefaction.rarefied(many, 20), rel=0.08)


@pytest.mark.parametrize("size", [-1, 15])
def test_more_than_there_are_cannot_be_drawn(size: int) -> None:
    with pytest.raises(ValueError, match=f"size={size}: 14 things were counted"):
        rarefaction.rarefied(COUNTS, size)


def test_chaos_bound_by_hand() -> None:
    assert rarefaction.with_unseen(np.array([1, 1, 1, 2, 5, 0])) == 5 + 3 * 2 / (2 * 2)
    assert rarefaction.with_unseen(np.array([1, 4, 0])) == 2.0
    assert rarefaction.with_unseen(np.array([3, 4, 2])) == 3.0
    assert rarefaction.with_unseen(np.zeros(0, dtype=int)) == rarefaction.rarefied(np.zeros(0, dtype=int), 0) == 0.0


def test_chaos_bound_makes_up_for_some_of_the_unseen() -> None:
    rng = np.random.default_rng(2)
    draws = [rng.multinomial(80, np.full(100, 0.01)) for _ in range(200)]
    seen = np.mean([(draw > 0).sum() for draw in draws])
    assert seen < 60
    assert 90 < np.mean([rarefaction.with_unseen(draw) for draw in draws]) < 110
