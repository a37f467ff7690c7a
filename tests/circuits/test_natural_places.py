"""Places of contexts and what else stands there, against literal loops; gaps that vary and gaps that do not."""

import numpy as np
import pytest

from circuits import natural_places
from circuits.multigrams import Text
from circuits.natural_places import Places
from tests.circuits.test_multigrams import contexts_of, patterns_of, places, random_patterns, random_text


def flat_places(text: Text, context: dict[int, int]) -> list[int]:
    return sorted(row * text.tokens.shape[1] + pos for row, pos in places(text, context))


@pytest.mark.parametrize("seed", [0, 1])
def test_places_are_those_of_a_literal_loop(seed: int) -> None:
    text, patterns = random_text(seed), random_patterns(seed)
    found, few = (natural_places.places(text, patterns, 3, most) for most in (10**6, 4))
    sizes = []
    for number, context in enumerate(contexts_of(patterns)):
        every = flat_places(text, context)
        assert found.flat[found.numbers == number].tolist() == every
        spread = [every[k * len(every) // 4] for k in range(4)] if len(every) > 4 else every
        assert few.flat[few.numbers == number].tolist() == spread
        sizes.append(len(every))
    assert 0 in sizes and max(sizes) > 40, "some contexts are not there, some often"
    assert (np.diff(found.numbers) >= 0).all()


@pytest.mark.parametrize("seed", [0, 1])
def test_others_are_other_tokens_that_stand_with_the_rest_of_the_context(seed: int) -> None:
    text, patterns = random_text(seed), random_patterns(seed)
    at, contexts, seen = natural_places.places(text, patterns, 3), contexts_of(patterns), 0
    for which, column, others in natural_places.others(text, patterns, at, 3):
        numbers = at.numbers[which]
        for number in range(len(contexts)):
            offset, tokens = int(patterns.offsets[number, column]), others[numbers == number]
            rest = {o: token for o, token in contexts[number].items() if o != offset}
            stands = {t for t in range(3) if offset and places(text, rest | {offset: t})}
            told = stands - {contexts[number].get(offset)}
            assert set(tokens.tolist()) <= told
            assert (len(tokens) > 0) == (bool(told) and (at.numbers == number).any())
            assert len(tokens) in (0, (at.numbers == number).sum())
            seen += len(tokens)
    assert seen > 300


def rows_of(gaps: list[list[int]]) -> Text:
    """A row for each gap: 0, then 1, the gap, 2 and 3."""
    tokens = np.array([[0, 1, *gap, 2, 3] for gap in gaps])
    documents = np.broadcast_to(np.arange(len(gaps))[:, None], tokens.shape)
    positions = np.broadcast_to(np.maximum(np.arange(tokens.shape[1]) - 1, 0), tokens.shape)
    return Text(tokens, documents, positions, np.ones(tokens.shape, dtype=bool))


def test_a_gap_varies_where_no_filling_has_more_than_half_of_the_places() -> None:
    pair, far, near = {1: 2, 4: 1}, {4: 1}, {1: 2}
    patterns = patterns_of([pair, far, near], [3, 3, 3])
    for gaps, expected in (
        ([[5, 6]] * 4, False),
        ([[5, 6]] * 2 + [[5, 7], [6, 5]], True),
        ([[5, 6]] * 3 + [[5, 7], [6, 5]], False),
        ([[5, 6], [5, 7], [5, 8], [5, 9]], True),  # a part of it may stay
    ):
        text = rows_of(gaps)
        at = natural_places.places(text, patterns, 10)
        # what stands nearer than the context's last token is of no gap: the nearest token alone has none
        assert natural_places.varied(text, patterns, at).tolist() == [expected, expected, False], gaps
    nowhere = Places(np.zeros(0, np.int64), np.zeros(0, np.int64))
    assert not natural_places.varied(text, patterns.take(slice(0, 0)), nowhere).size
