"""n-grams are asked for among other documents' tokens, skip n-grams in place, and each answer stands at its pattern."""

import numpy as np
import torch

from ablations import forward
from circuits import context_gain, natural_gain, planted
from circuits.multigrams import Patterns
from experiments.heldout import model_multigrams
from tests.circuits.test_multigrams import patterns_of
from tests.circuits.test_natural_gain import TRIPLES, UNIFORM, skips, the_triples


def mixed() -> tuple[Patterns, np.ndarray]:
    """Every planted skip trigram, and after each the n-gram of its two last tokens; which are gapped."""
    gapped, ngrams = the_triples(), patterns_of([{1: b} for _, b, _ in TRIPLES], [c for _, _, c in TRIPLES])
    order = np.arange(2 * len(TRIPLES)).reshape(2, -1).T.ravel()
    both = Patterns(
        np.concatenate([gapped.offsets, ngrams.offsets])[order],
        np.concatenate([gapped.tokens, ngrams.tokens])[order],
        np.concatenate([gapped.targets, ngrams.targets])[order],
    )
    return both, np.arange(len(order)) % 2 == 0


def test_each_pattern_is_asked_for_by_its_rule() -> None:
    model, text, (patterns, gapped) = planted.skip_trigram().model, skips(), mixed()
    donors = torch.randint(17, 20, (4, 10), generator=torch.Generator().manual_seed(0))
    gain = np.full(len(patterns.targets), 2.9)
    found = model_multigrams.which_are_known(model, donors, text, patterns, gain, UNIFORM)
    assert found.known.tolist() == gapped.tolist(), "b alone says nothing"
    weights = forward.weights_of(model)
    own = natural_gain.known(weights, model.cfg, text, patterns.take(gapped), gain[gapped], UNIFORM)
    ngrams = patterns.take(~gapped)
    alone = context_gain.log_probabilities(weights, model.cfg, donors, ngrams).double().numpy() - UNIFORM[0]
    np.testing.assert_array_equal(found.alone[gapped], own.alone)
    np.testing.assert_array_equal(found.part[gapped], own.part)
    np.testing.assert_allclose(found.alone[~gapped], alone)
    assert (found.alone[gapped] > found.alone[~gapped] + 1).all()


def test_without_patterns_there_is_nothing_to_ask() -> None:
    model, none = planted.skip_trigram().model, the_triples().take(slice(0, 0))
    found = model_multigrams.which_are_known(
        model, torch.zeros((2, 10), dtype=torch.int64), skips(rows=4), none, np.zeros(0), UNIFORM
    )
    assert [column.shape for column in found] == [(0,)] * 3
