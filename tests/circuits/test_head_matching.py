"""Heads are matched by what they do: a permutation is found again, and circuits of one plant are universal under it."""

import numpy as np
import pytest
import torch

from ablations import forward
from ablations.models import Model
from ablations.paths import parse_path
from circuits import planted
from circuits.discover import path_effects, significant
from circuits.head_matching import FEATURES, SURE, Matching, features, match, renamed, universality
from circuits.planted import Plant
from circuits.tasks import Task
from tests.conftest import make_model
from tests.planted import with_permuted_heads

ORDERS = [[2, 0, 3, 1], [1, 3, 0, 2]]


def described(model: Model, task: Task):
    return features(forward.weights_of(model), model.cfg, task)


def found(plant: Plant, model: Model):
    effects = path_effects(model, plant.tasks[0])
    return [path for path, ok in zip(effects.paths, significant(effects.p), strict=True) if ok]


def test_permuted_heads_are_found_again_and_the_circuit_is_universal() -> None:
    plant = planted.induction(noise=0.05)
    other = with_permuted_heads(plant.model, ORDERS)
    tokens = plant.tasks[0].clean
    assert torch.allclose(plant.model(tokens), other(tokens), atol=1e-3)
    matching = match(described(plant.model, plant.tasks[0]), described(other, plant.tasks[0]), resamples=20)
    assert matching.partner == {(layer, was): (layer, now) for layer in (0, 1) for now, was in enumerate(ORDERS[layer])}
    assert min(matching.margin.values()) > 0
    circuits = found(plant, plant.model), found(plant, other)
    whole = universality(*circuits, matching.partner, plant.model.cfg)
    assert whole.of_first == whole.of_second == whole.jaccard == 1.0
    assert whole.random.mean() < 0.3 and whole.p < 0.1
    by_name = universality(*circuits, {head: head for head in matching.partner}, plant.model.cfg)  # the control
    assert by_name.jaccard < 0.5


def test_heads_of_other_noise_and_other_prompts_are_matched_by_what_they_were_planted_to_do() -> None:
    one, second = (planted.induction(noise=0.05, seed=seed) for seed in (0, 1))
    other = with_permuted_heads(second.model, ORDERS)
    matching = match(described(one.model, one.tasks[0]), described(other, second.tasks[0]), resamples=20)
    for layer, head in one.types:
        assert matching.partner[layer, head] == (layer, ORDERS[layer].index(head))
        assert matching.share[layer, head] == 1.0 and matching.margin[layer, head] > 1
    assert matching.sure(parse_path("L0H1->L1H2.k"))


def test_what_noise_does_is_not_matched_surely() -> None:
    """The negative control: where the plant's heads are out, what was planted is told from nothing no more."""
    one, other = (planted.induction(noise=0.05, seed=seed, removed=True) for seed in (0, 1))
    without = match(described(one.model, one.tasks[0]), described(other.model, other.tasks[0]), resamples=20)
    assert without.margin[0, 1] < 1 and without.margin[1, 2] < 1


def test_features_are_what_they_say() -> None:
    plant = planted.induction()
    values = described(plant.model, plant.tasks[0])
    assert values.dims == ("head", "feature", "prompt") and tuple(values.feature.values) == FEATURES
    mean = values.mean("prompt")
    assert float(mean.sel(head="L0H1", feature="previous")) == pytest.approx(1, abs=1e-3)
    assert float(mean.sel(head="L1H2", feature="following")) == pytest.approx(1, abs=1e-3)
    assert float(mean.sel(head="L1H2", feature="after_replaced")) == pytest.approx(1, abs=1e-3)
    assert float(mean.sel(head="L1H3", feature="current")) == pytest.approx(1, abs=1e-3)  # the decoy
    assert float(mean.sel(head="L0H1", feature="total")) < -5 < float(mean.sel(head="L0H1", feature="direct"))
    looks = values.sel(feature=[name for name in FEATURES if name not in ("total", "direct")])
    assert float(looks.min()) >= 0 and float(looks.max()) <= 1 + 1e-6


def test_universality_by_hand() -> None:
    first = [parse_path(name) for name in ("L0H0->L1H0.k", "L1H0->output")]
    second = [parse_path(name) for name in ("L0H1->L1H1.k", "L1H1->output", "embed->L0H1.v", "L1H2->output")]
    swapped = {(layer, head): (layer, (1, 0, 2)[head]) for layer in (0, 1) for head in range(3)}
    assert [renamed(path, swapped) for path in first] == second[:2]
    shape = make_model().cfg
    whole = universality(first, second, swapped, shape, draws=3000)
    assert (whole.of_first, whole.of_second, whole.jaccard) == (1.0, 0.5, 0.5)
    # L1H0 goes to L1H1 in a third (then both paths are shared if L0H0 goes to L0H1, in a third of these) or to L1H2
    assert (whole.random == 0.5).mean() == pytest.approx(1 / 9, abs=0.03)
    assert (whole.random == 1 / 5).mean() == pytest.approx(2 / 9 + 1 / 3, abs=0.03)
    assert whole.p == pytest.approx(1 / 9, abs=0.03)
    with pytest.raises(ValueError, match="circuits of 0 and 4 paths"):
        universality([], second, swapped, shape)


def test_sure_is_of_both_ends_and_shapes_must_agree() -> None:
    matching = Matching({}, {(0, 0): 1.0, (1, 0): SURE - 0.1}, {})
    assert matching.sure(parse_path("L0H0->output")) and not matching.sure(parse_path("L0H0->L1H0.q"))
    plant = planted.induction()
    values = described(plant.model, plant.tasks[0])
    with pytest.raises(ValueError, match="the same layers and heads"):
        match(values, values[:3])
    assert np.isinf(match(values[[0, 4]], values[[0, 4]], resamples=2).margin[0, 0])  # one head alone in its layer
