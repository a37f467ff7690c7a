"""Gains of a few tokens of context: literal runs of the model, and models that need a known context."""

from itertools import combinations

import numpy as np
import pytest
import torch

from ablations import forward, rerun
from ablations.models import Model
from circuits import context_gain, planted, planted_heads, planted_layout, planted_model, planted_prompts
from circuits.multigrams import FAMILIES, LONGEST, Patterns
from tests.conftest import make_model

CONTEXTS = [{}, {1: 3}, {16: 7}, {1: 4, 9: 2}, {2: 4, 3: 4}, {1: 5, 2: 6, 11: 7}, {1: 1, 2: 2, 3: 3, 4: 4}]


def padded(contexts: list[dict[int, int]], targets: list[int]) -> Patterns:
    offsets, tokens = np.zeros((2, len(contexts), LONGEST), dtype=np.int64)
    for number, context in enumerate(contexts):
        for column, (offset, token) in enumerate(context.items()):
            offsets[number, column], tokens[number, column] = offset, token
    return Patterns(offsets, tokens, np.array(targets, dtype=np.int64))


def literal(model: Model, windows: torch.Tensor, context: dict[int, int], target: int) -> float:
    found = []
    for window in windows:
        tokens = window.clone()
        for offset, token in context.items():
            tokens[len(tokens) - offset] = token
        with torch.no_grad():
            found.append(model(tokens[None])[0, -1].log_softmax(-1)[target])
    return float(torch.stack(found).mean())


@pytest.fixture
def windows() -> torch.Tensor:
    return torch.randint(50, (3, 17), generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("at_once", [64, 3])
def test_log_probabilities_are_those_of_literal_runs(windows: torch.Tensor, monkeypatch, at_once: int) -> None:
    monkeypatch.setattr(context_gain, "CONTEXTS_AT_ONCE", at_once)
    model, contexts = make_model(), [*CONTEXTS, CONTEXTS[3], CONTEXTS[0]]
    targets = [9, 8, 7, 6, 5, 4, 3, 44, 45]
    before = windows.clone()
    found = context_gain.log_probabilities(
        forward.weights_of(model), model.cfg, windows, padded(contexts, targets)
    ).numpy()
    expected = [literal(model, windows, context, target) for context, target in zip(contexts, targets, strict=True)]
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert (windows == before).all()
    for number, context in enumerate(CONTEXTS[1:], 1):  # each context changes what is predicted
        assert abs(found[number] - literal(model, windows, {}, targets[number])) > 1e-2, context


def test_the_best_part_is_the_best_of_all_parts(windows: torch.Tensor) -> None:
    model, targets = make_model(), list(range(len(CONTEXTS)))
    found = context_gain.best_of_parts(forward.weights_of(model), model.cfg, windows, padded(CONTEXTS, targets))
    assert found[0] == -np.inf, "nothing is less than no context"
    for number, context in enumerate(CONTEXTS[1:], 1):
        parts = [dict(kept) for n in range(len(context)) for kept in combinations(context.items(), n)]
        expected = max(literal(model, windows, part, number) for part in parts)
        assert found[number] == pytest.approx(expected, abs=1e-4)


def test_windows_must_be_longer_than_contexts(windows: torch.Tensor) -> None:
    model, far = make_model(), padded([{16: 7}], [1])
    weights = forward.weights_of(model)
    assert context_gain.log_probabilities(weights, model.cfg, windows, far).shape == (1,)
    with pytest.raises(ValueError, match="windows of 16 tokens: a context reaches 16 back"):
        context_gain.log_probabilities(weights, model.cfg, windows[:, :16], far)
    assert context_gain.log_probabilities(weights, model.cfg, windows, padded([], [])).shape == (0,)


def smallest(model: Model, windows: torch.Tensor, text: torch.Tensor, targets: list[int], log_unigram):
    """The families that complete these targets after these texts [text, pos]."""
    with torch.no_grad():
        clean = model(text)[:, -1].log_softmax(-1).double().numpy()
    aims = np.array(targets, dtype=np.int64)
    gain = clean[np.arange(len(aims)), aims] - log_unigram[aims]
    before = text.flip(1)[:, :16].numpy()
    weights = forward.weights_of(model)
    numbers = context_gain.smallest(weights, model.cfg, windows, before, aims, gain, log_unigram)
    return [FAMILIES[number] if number >= 0 else None for number in numbers]


def test_a_skip_trigram_is_found_by_its_offsets(monkeypatch) -> None:
    length = 18  # the longest in which the plant's prompts can be drawn
    place = slice(planted_layout.FLAG + 1, planted_layout.FLAG + 1 + length)
    for name, value in {"CONTEXT": length, "PLACE": place, "D_MODEL": place.stop + 1}.items():
        for module in (planted_heads, planted_model, planted_prompts):
            monkeypatch.setattr(module, name, value, raising=False)
    for layer_norm in (False, True):
        model = planted.skip_trigram(layer_norm).model
        generator = torch.Generator().manual_seed(0)
        windows, text = (torch.randint(17, 20, (n, 17), generator=generator) for n in (4, 15))  # tokens of no triple
        windows[:, 0] = text[:, 0] = planted.BOS
        (a, b, c), offsets = planted_layout.triples()[2], range(2, 17)
        text[:, -1] = b
        for row, offset in enumerate(offsets):
            text[row, 17 - offset] = a
        log_unigram = np.full(planted.VOCABULARY, -np.log(planted.VOCABULARY) - 0.1)
        found = smallest(model, windows, text, [c] * 15, log_unigram)
        assert found == [(1, offset) for offset in offsets]
        without = text.clone()
        without[without == a] = 18  # b alone says nothing: what is gained needs no context
        assert smallest(model, windows, without, [c] * 15, log_unigram) == [None] * 15


def bigram_model(scores: torch.Tensor) -> Model:
    """Attention writes nothing: logits are scores[last token]."""
    model = make_model(d_model=50, normalization_type=None)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.embed.W_E.copy_(torch.eye(50))
        model.unembed.W_U.copy_(scores)
    return model


def test_a_bigram_is_contiguous(windows: torch.Tensor) -> None:
    scores = torch.zeros(50, 50)
    scores[3, 7] = 9.0
    text = torch.randint(10, 50, (2, 17), generator=torch.Generator().manual_seed(5))
    text[0, -1] = 3
    assert smallest(bigram_model(scores), windows, text, [7, 7], np.full(50, -np.log(50))) == [(1,), None]


def test_what_is_predicted_without_any_context_completes_nothing(windows: torch.Tensor) -> None:
    """A model that has learned nothing predicts rare tokens better than their unigram does."""
    text = torch.randint(10, 50, (2, 17), generator=torch.Generator().manual_seed(5))
    rare = np.log(np.array([1e-4] * 25 + [(1 - 25e-4) / 25] * 25))
    assert smallest(bigram_model(torch.zeros(50, 50)), windows, text, [7, 40], rare) == [None, None]
    always = torch.zeros(50, 50)
    always[:, 7] = 9.0
    assert smallest(bigram_model(always), windows, text, [7, 7], np.full(50, -np.log(50))) == [None, None]


@pytest.mark.parametrize("normalization", ["LN", "LNPre", None])
@pytest.mark.parametrize("positions", ["shortformer", "standard"])
def test_the_last_residual_is_that_of_a_whole_run(tokens: torch.Tensor, normalization, positions: str) -> None:
    model = make_model(dtype=torch.float64, normalization_type=normalization, positional_embedding_type=positions)
    weights = forward.weights_of(model)
    with torch.no_grad():
        whole = rerun.clean_run(weights, model.cfg, tokens).residuals[-1]
        last = forward.last_residual(weights, model.cfg, tokens)
    assert last.dtype == torch.float64
    torch.testing.assert_close(last, whole[:, -1:], atol=1e-10, rtol=0)
    assert float((last - whole[:, -2:-1]).abs().max()) > 1e-2
