"""Stability of what is found: planted paths come again on other prompts, and nothing comes where nothing is."""

import itertools

import numpy as np
import pytest

from ablations import forward
from circuits import planted
from circuits.discover import candidates, path_effects, significant
from circuits.stability import STABLE, Stability, stability


@pytest.fixture(scope="module")
def plant():
    return planted.induction()


def test_planted_paths_are_found_again_and_others_are_not(plant) -> None:
    weights, cfg = forward.weights_of(plant.model), plant.model.cfg
    found = stability(weights, cfg, plant.tasks[0], draws=20)
    true = np.array([path in plant.edges[0] for path in found.paths])
    assert found.paths == candidates(cfg)
    assert (found.frequency[true] >= STABLE).all()
    assert found.frequency[~true].max() <= 0.2
    assert found.jaccard > 0.9
    on_all = significant(path_effects(plant.model, plant.tasks[0]).p)
    assert (on_all == (found.frequency >= 0.5)).all()


def test_without_the_plant_nothing_is_found_in_most_resamples() -> None:
    bare = planted.induction(noise=0.1, removed=True)
    found = stability(forward.weights_of(bare.model), bare.model.cfg, bare.tasks[0], draws=20)
    assert found.frequency.max() < 0.5


def test_the_same_seed_draws_the_same(plant) -> None:
    weights, cfg = forward.weights_of(plant.model), plant.model.cfg
    some = candidates(cfg)[:4]
    one, same, other = (stability(weights, cfg, plant.tasks[0], some, draws=3, seed=seed) for seed in (1, 1, 2))
    assert (one.found == same.found).all() and one.paths == other.paths == some


def test_jaccard_and_intervals_by_hand() -> None:
    sets = np.array([[1, 1, 0], [1, 0, 0], [0, 0, 0], [0, 0, 0]], dtype=bool)
    found = Stability((), sets)
    by_hand = []
    for a, b in itertools.combinations(sets, 2):
        by_hand.append((a & b).sum() / (a | b).sum() if (a | b).any() else 1.0)
    assert found.jaccard == pytest.approx(np.mean(by_hand)) == pytest.approx((0.5 + 1) / 6)
    assert found.frequency.tolist() == [0.5, 0.25, 0.0]
    low, high = found.interval()[0]
    assert low == pytest.approx(0.1500, abs=1e-3) and high == pytest.approx(0.8500, abs=1e-3)  # Wilson, 2 of 4
    assert found.interval()[2, 0] == pytest.approx(0, abs=1e-12)


def test_bad_calls_are_refused(plant) -> None:
    weights, cfg = forward.weights_of(plant.model), plant.model.cfg
    for wrong in ({"draws": 1}, {"rate": 1.5}):
        with pytest.raises(ValueError, match="draw twice or more, at a rate between 0 and 1"):
            stability(weights, cfg, plant.tasks[0], **wrong)
