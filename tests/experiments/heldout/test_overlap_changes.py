"""Overlaps of the tokens that heads matter for, their errors and permuted lists, and what is kept of their changes."""

import numpy as np
import pytest

from ablations import overlap
from ablations.not_measurable import NotMeasurable
from experiments.heldout import overlap_changes
from experiments.heldout.overlap_changes import CHANGE, COMPARISONS, Effects, pair_changes
from experiments.statistics import overlap_change
from experiments.statistics.chosen_pair import mean_change, reduced
from experiments.statistics.halves import balanced_half
from tests.experiments.claims.planted_overlaps import DOCUMENTS, HEADS, TOKENS, effects_of

LAYER = np.array([0, 0, 0, 1, 1, 1])


def whole(effects: Effects, time: int) -> overlap_change.Snapshot:
    return overlap_changes.snapshot(effects, time, np.ones(TOKENS, dtype=bool))


def test_overlap_is_what_is_shared_beyond_chance_over_the_lists_lengths() -> None:
    at = whole(effects_of(7, (1.0, 1.0)), 1)
    every = np.ones(len(HEADS), dtype=bool)
    value, influence = overlap_change.correlation(at, every, every)
    shared = overlap.shared(at.chosen, at.strata)
    above = shared.both - shared.chance
    np.testing.assert_allclose(value, above / np.sqrt(np.outer(np.diag(above), np.diag(above))), atol=1e-12)
    np.testing.assert_allclose(np.diag(value), 1, atol=1e-12)  # a list with itself
    np.testing.assert_allclose(influence.sum(0), 0, atol=1e-12)
    np.testing.assert_allclose(influence[:, range(6), range(6)], 0, atol=1e-12)


def test_the_error_is_that_of_leaving_documents_out() -> None:
    at = whole(effects_of(8, (1.0, 1.0)), 0)
    _, influence = overlap_change.correlation(at, LAYER == 0, LAYER == 1)
    without = []
    for document in np.unique(at.document):
        kept = at.document != document
        rest = overlap_change.Snapshot(at.chosen[:, kept], at.strata[kept], at.document[kept])
        without.append(overlap_change.correlation(rest, LAYER == 0, LAYER == 1)[0])
    jackknife = np.sqrt((DOCUMENTS - 1) / DOCUMENTS * ((without - np.mean(without, axis=0)) ** 2).sum(0))
    np.testing.assert_allclose(np.sqrt((influence**2).sum(0)), jackknife, rtol=0.1)


def test_turned_lists_spread_as_all_permutations_do() -> None:
    at = whole(effects_of(9), 0)
    drawn = overlap_change.permuted_correlations(at, LAYER == 0, LAYER == 1, 800, seed=0)
    shared = overlap.shared(at.chosen, at.strata)
    length = np.sqrt(np.diag(shared.both - shared.chance))
    expected = (shared.chance_sd / np.outer(length, length))[:3, 3:]
    assert (np.abs(drawn.mean(0)) < 4 * expected / np.sqrt(800)).all()
    # one order of the tokens: its own variance differs from that of all, by the more the fewer strata there are
    np.testing.assert_allclose(drawn.std(0), expected, rtol=0.25)


def test_halves_are_of_whole_documents_and_as_large_as_can_be() -> None:
    documents = np.repeat(np.arange(9), [100, 40, 30, 20, 10, 5, 3, 1, 1])
    inside = balanced_half(documents)
    assert abs(int(inside.sum()) - int((~inside).sum())) <= 1
    assert not set(documents[inside]) & set(documents[~inside])


def test_what_is_kept_tells_what_the_permuted_lists_told() -> None:
    """The pair and p of all draws, computed here from all of them; the other comparisons are of other data."""
    halves = overlap_changes.tested(effects := effects_of(3, (0.0, 2.0)))
    kept = reduced(halves)
    strength = halves.choosing.value / halves.choosing.se
    assert kept.pair == np.unravel_index(strength.argmax(), strength.shape)
    assert kept.tested == halves.testing.value[kept.pair]
    standard = (halves.testing.null / halves.testing.null.std(0)).reshape(len(halves.testing.null), -1)
    null = standard.max(1)
    np.testing.assert_allclose(mean_change([kept]).null, null, rtol=1e-9)
    above = (null >= kept.tested / kept.tested_se).sum()
    assert mean_change([kept]).p == (1 + above) / (1 + len(null))
    found = overlap_changes.of_effects(effects)
    for own, again in zip(kept, pair_changes(found, CHANGE), strict=True):
        np.testing.assert_array_equal(own, again)
    values = [pair_changes(found, comparison).value for comparison in COMPARISONS]
    assert not np.allclose(values[0], values[1]) and not np.allclose(values[0], values[2])


def test_few_documents_have_no_errors() -> None:
    few = effects_of(6)
    with pytest.raises(NotMeasurable, match="9 documents in the held-out text, 20 are needed"):
        overlap_changes.of_effects(few._replace(document=few.document // 49))
    one = few._replace(document=np.zeros_like(few.document))
    with pytest.raises(NotMeasurable, match="a standard error needs at least two"):
        overlap_changes.tested(one)
