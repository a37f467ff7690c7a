"""Gains in place against literal runs; planted skip n-grams are known, and what only looks like one is not."""

import numpy as np
import pytest
import torch

from ablations import forward
from ablations.models import Model
from circuits import natural_gain, natural_places, planted, planted_layout
from circuits.multigrams import Patterns, Text
from circuits.natural_gain import Known
from tests.circuits.test_context_gain import bigram_model
from tests.circuits.test_multigrams import patterns_of, random_patterns, random_text
from tests.conftest import make_model

TRIPLES, FILLERS, WORDS = planted_layout.triples(), (17, 18, 19), planted_layout.VOCABULARY
GAPS = tuple(range(9, 20))  # anything but what the head attends to
UNIFORM = np.full(WORDS, -np.log(WORDS))


def as_rows(text: Text) -> torch.Tensor:
    return torch.from_numpy(text.tokens.astype(np.int64))


def literal(model: Model, row: torch.Tensor, target: int) -> float:
    with torch.no_grad():
        return float(model(row[None])[0, -1].log_softmax(-1)[target])


@pytest.mark.parametrize("at_once", [32, 3])
def test_predictions_in_place_are_those_of_literal_runs(monkeypatch, at_once: int) -> None:
    monkeypatch.setattr(natural_gain, "ROWS_AT_ONCE", at_once)
    model, text, patterns = make_model(), random_text(0), random_patterns(0)
    weights, at = forward.weights_of(model), natural_places.places(text, patterns, 3, 5)
    both = np.column_stack([patterns.targets, patterns.targets + 7])
    found = natural_gain.log_probabilities(weights, model.cfg, text, both, at)
    row, pos = np.divmod(at.flat, text.tokens.shape[1])
    expected = [
        [literal(model, as_rows(text)[r, :p], target) for target in both[n]]
        for r, p, n in zip(row, pos, at.numbers, strict=True)
    ]
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert np.ptp(found) > 0.1


def test_what_is_left_without_a_token_is_that_of_literal_runs() -> None:
    model, text, patterns = make_model(), random_text(0), random_patterns(0)
    weights, at = forward.weights_of(model), natural_places.places(text, patterns, 3)
    targets = patterns.targets[:, None]
    log_q = natural_gain.log_probabilities(weights, model.cfg, text, targets, at)
    found = natural_gain.needed(weights, model.cfg, text, patterns, targets, at, log_q)
    means = np.full(len(patterns.targets), -np.inf)
    for which, column, others in natural_places.others(text, patterns, at, model.cfg.d_vocab):
        by_pattern: dict[int, list[float]] = {}
        for place, other in zip(which, others, strict=True):
            number, (r, p) = int(at.numbers[place]), divmod(int(at.flat[place]), text.tokens.shape[1])
            row = as_rows(text)[r, :p].clone()
            row[p - patterns.offsets[number, column]] = int(other)
            by_pattern.setdefault(number, []).append(literal(model, row, patterns.targets[number]))
        for number, values in by_pattern.items():
            means[number] = max(means[number], np.mean(values))
    np.testing.assert_allclose(found.without[:, 0], means, atol=1e-4)
    assert np.isfinite(means).sum() > 20 and ((found.p >= 0) & (found.p <= 1)).all()


def skips(gaps: tuple[int, ...] = GAPS, before: tuple[int, int] = (17, 17), rows: int = 800) -> Text:
    """Rows of fillers with w, a, a gap, b and what follows, c where a and b are of a triple; w tells whether."""
    generator, tokens = np.random.default_rng(0), np.empty((rows, planted_layout.CONTEXT), dtype=np.int64)
    for row in tokens:
        row[:] = generator.choice(FILLERS, len(row))
        row[0], (first, second) = planted_layout.BOS, generator.integers(len(TRIPLES), size=2)
        second = first if generator.random() < 0.5 else second
        start = generator.integers(2, len(row) - 4)
        row[start - 1] = before[int(first == second)]
        row[start], row[start + 1], row[start + 2] = TRIPLES[first][0], generator.choice(gaps), TRIPLES[second][1]
        if first == second:
            row[start + 3] = TRIPLES[first][2]
    documents = np.broadcast_to(np.arange(rows)[:, None], tokens.shape)
    positions = np.broadcast_to(np.maximum(np.arange(tokens.shape[1]) - 1, 0), tokens.shape)
    return Text(tokens, documents, positions, np.arange(tokens.shape[1])[None].repeat(rows, 0) > 0)


def asked(model: Model, text: Text, patterns: Patterns, whole: np.ndarray | None = None) -> Known:
    return natural_gain.known(forward.weights_of(model), model.cfg, text, patterns, whole, UNIFORM)


def the_triples(shift: int = 0, turn: int = 0) -> Patterns:
    """a _ b -> c of every triple; shift: another's c, turn: another's a."""
    count = len(TRIPLES)
    contexts = [{1: TRIPLES[t][1], 3: TRIPLES[(t + turn) % count][0]} for t in range(count)]
    return patterns_of(contexts, [TRIPLES[(t + shift) % count][2] for t in range(count)])


@pytest.mark.parametrize("layer_norm", [True, False])
def test_planted_skip_trigrams_are_known_and_others_are_not(layer_norm: bool) -> None:
    model, text = planted.skip_trigram(layer_norm).model, skips()
    found = asked(model, text, the_triples())
    assert found.known.all() and (found.alone > 2).all() and (found.part < 0.5).all()
    assert not asked(model, text, the_triples(shift=1)).known.any(), "another's target"
    assert not asked(model, text, the_triples(turn=1)).known.any(), "another's far token"
    assert not asked(planted.skip_trigram(layer_norm, removed=True).model, text, the_triples()).known.any()
    assert not asked(model, skips(gaps=(18,)), the_triples()).known.any(), "an n-gram: its gap is always the same"
    assert not asked(model, text, the_triples(), found.alone / 0.79).known.any(), "more than the context is needed"
    assert asked(model, text, the_triples(), found.alone / 0.81).known.all()


def test_a_token_that_only_comes_along_is_not_needed() -> None:
    model, text = planted.skip_trigram().model, skips(before=(18, 17))
    along = patterns_of([{1: b, 4: 17} for _, b, _ in TRIPLES], [c for _, _, c in TRIPLES])
    found = asked(model, text, along)
    assert (found.alone > 2).all() and (found.part > 0.9 * found.alone).all(), (
        "the text says it, the model needs it not"
    )
    assert not found.known.any()
    assert asked(model, text, the_triples()).known.all(), "the triples are there as before"


def test_a_bigram_with_a_chance_token_is_no_skip_trigram() -> None:
    scores = torch.zeros(50, 50)
    b, c = TRIPLES[0][1:]
    scores[b, c] = 9.0
    model, text = bigram_model(scores), skips()
    chance = patterns_of([{1: b, 3: a} for a, _, _ in TRIPLES], [c] * len(TRIPLES))
    log_unigram = np.full(50, -np.log(50))
    found = natural_gain.known(forward.weights_of(model), model.cfg, text, chance, None, log_unigram)
    assert (found.alone > 2).all() and not found.known.any()
    none = natural_gain.known(forward.weights_of(model), model.cfg, text, chance.take(slice(0, 0)), None, log_unigram)
    assert not none.known.size


def test_too_few_places_are_no_evidence() -> None:
    model = planted.skip_trigram().model
    assert not asked(model, skips(rows=60), the_triples()).known.any()


def test_decoys_set_the_threshold() -> None:
    inf = np.inf
    own, none = np.array([5.0, 4.0, 0.5, -inf]), np.full((4, 20), -inf)
    assert natural_gain.above_decoys(own, none).tolist() == [True, True, True, False]
    few = none.copy()
    few[0, :3] = 1.0  # with 0.5 as the threshold (1 + 3) / 20 decoys a pattern to 3 patterns, more than 5%
    assert natural_gain.above_decoys(own, few).tolist() == [True, True, False, False]
    many = none.copy()
    many[1, :3] = 9.0
    assert not natural_gain.above_decoys(own, many).any()
    assert not natural_gain.above_decoys(np.full(4, -inf), none).any()


def test_as_many_random_statistics_pass_as_the_rate_says() -> None:
    generator = np.random.default_rng(0)
    passed = [natural_gain.above_decoys(generator.normal(size=40), generator.normal(size=(40, 20))) for _ in range(400)]
    assert np.mean([mask.any() for mask in passed]) < 0.1, "all discoveries are false: one set in twenty has any"
    shifted = np.concatenate([generator.normal(size=30), 6 + generator.normal(size=30)])
    mask = natural_gain.above_decoys(shifted, generator.normal(size=(60, 20)))
    assert mask[30:].mean() > 0.9 and mask[:30].sum() <= 4
