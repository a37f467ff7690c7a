"""Texts that differ in the number of patterns alone, and the loss that is read where a pattern's target is due."""

import numpy as np
import pytest
import torch

from experiments.corpora import synthetic_language
from experiments.settings.patterns import model


@pytest.fixture(autouse=True)
def few_documents(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "DOCUMENTS", 400)
    monkeypatch.setattr(model, "HELD_OUT", 100)


def hits(data: model.Text, patterns: range) -> float:
    """How often the planted target follows the context of these patterns."""
    planted = synthetic_language.truth(synthetic_language.parse(f"{model.LANGUAGE},seed=0")).patterns
    target = {planted[number].tokens: planted[number].target for number in patterns}
    rows = data.tokens.numpy()
    follows = [
        row[at + 2] == target[tuple(row[at : at + 2])]
        for row in rows
        for at in range(1, rows.shape[1] - 2)
        if tuple(row[at : at + 2]) in target
    ]
    return float(np.mean(follows))


def test_patterns_that_are_kept_hold_and_the_others_do_not() -> None:
    data = model.text(128, 0)
    assert 0.7 < hits(data, range(128)) < 0.9
    assert hits(data, range(128, 256)) < 0.1
    assert 0.7 < hits(model.text(256, 0), range(128, 256)) < 0.9


def test_texts_have_the_same_contexts_and_no_target_is_due_without_patterns() -> None:
    none, all_of_them = model.text(0, 0), model.text(256, 0)
    assert not none.due.any() and all_of_them.due.any()
    differ = none.tokens[:, 1:] != all_of_them.tokens[:, 1:]
    assert differ.any() and not (differ & ~all_of_them.due).any()  # only targets are others


def test_shuffled_documents_have_the_same_words_and_no_pattern() -> None:
    written, shuffled = model.text(256, 0), model.text(256, 0, shuffled=True)
    assert (written.tokens.sort(1).values == shuffled.tokens.sort(1).values).all()
    assert (written.tokens != shuffled.tokens).any() and (shuffled.tokens[:, 0] == 0).all()
    assert hits(shuffled, range(256)) < 0.2


def test_a_model_begins_to_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "STEPS", 30)
    cpu, data = torch.device("cpu"), model.text(256, 0)
    trained = model.train(data, 0, cpu)
    untrained = model.models.new({**model.SIZES, "attn_only": True, "normalization_type": "LN", "seed": 0})
    rows = data.tokens[-100:]
    with torch.no_grad():
        before, after = (float(model.token_losses(each, rows).mean()) for each in (untrained, trained))
    assert after < before - 0.5
    assert model.missed(trained, data, cpu) < model.missed(untrained, data, cpu)  # type: ignore[operator]
    assert model.missed(trained, model.text(0, 0), cpu) is None
