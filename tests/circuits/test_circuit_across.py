"""A circuit in many models: the whole of a plant is in every permutation of it, and nothing where there is none."""

from functools import lru_cache

import numpy as np
import pytest

from ablations import forward
from ablations.models import Model
from ablations.names import head_name, parse_head
from ablations.not_measurable import NotMeasurable
from ablations.paths import path_name
from circuits import planted
from circuits.circuit_across import Across, Member, across
from circuits.discover import path_effects, significant
from circuits.head_matching import EFFECT_FEATURES, FEATURES, features, match, universality
from circuits.tasks import Task
from tests.planted import with_permuted_heads

ORDERS = [[[0, 1, 2, 3]] * 2, [[2, 0, 3, 1], [1, 3, 0, 2]], [[3, 1, 2, 0], [0, 3, 2, 1]], [[1, 0, 3, 2], [2, 3, 1, 0]]]
PLANT = planted.induction(noise=0.05)
TASK, CFG = PLANT.tasks[0], PLANT.model.cfg
EDGES = {path_name(path) for path in PLANT.edges[0]}


def measured(model: Model, task: Task = TASK) -> Member:
    return Member(path_effects(model, task), features(forward.weights_of(model), model.cfg, task))


@lru_cache
def permuted(number: int, seed: int = 0) -> Member:
    """A plant with noise of this seed, its heads in one of the orders."""
    return measured(with_permuted_heads(planted.induction(noise=0.05, seed=seed).model, ORDERS[number]))


def found(*members: Member) -> Across:
    return across(members, CFG, resamples=20, draws=300)


def core_of(result: Across) -> set[str]:
    return {path_name(path) for path in result.core.paths}


def test_the_whole_circuit_is_the_core_of_permuted_plants() -> None:
    result = found(*(permuted(number) for number in range(4)))
    assert core_of(result) == EDGES
    assert result.core.of_mean.value == result.core.jaccard.value == 1.0
    assert result.core.jaccard.random.mean() < 0.05 and result.core.jaccard.p < 0.02
    assert result.core_sizes == (3, 3, 3, 3) and (result.heads.agreement == 1).all()
    assert set(result.by_attention.paths) == set(result.core.paths)
    for head, names in zip(result.heads["head"].values, result.heads.partner.values, strict=True):
        layer, was = parse_head(str(head))
        assert names.tolist() == [head_name((layer, order[layer].index(was))) for order in ORDERS]
    way = result.paths.sel(path="L0H1->L1H2.k")
    assert way.counterpart.values.tolist() == ["L0H1->L1H2.k", "L0H3->L1H3.k", "L0H1->L1H2.k", "L0H0->L1H0.k"]
    assert way.found.all() and int(way.models) == 4 and np.ptp(way.effect.values) < 1e-3 and (way.effect < -5).all()
    assert (result.paths.models > 0).sum() == len(EDGES)
    assert (result.pairs.jaccard == 1).all() and result.pairs.sizes["pair"] == 6


def test_other_noise_leaves_the_planted_paths_in_the_core() -> None:
    result = found(*(permuted(number, number) for number in range(4)))
    assert core_of(result) == EDGES and result.core_sizes == (3, 3, 3, 3)
    planted_heads = result.heads.sel(head=["L0H1", "L1H2"])
    assert (planted_heads.share == 1).all() and (planted_heads.agreement == 1).all()
    assert float(result.heads.agreement.min()) < 1  # the control: heads of noise are partners by chance
    # Decoys attend as the circuit's heads do and write what nothing reads: attention alone does not tell them apart.
    assert len(result.by_attention.paths) < len(result.core.paths)


def test_a_model_without_the_circuit_leaves_no_core() -> None:
    """The negative controls: without the plant's heads, and with another circuit."""
    one, two = permuted(0), permuted(1)
    for model in (planted.induction(noise=0.05, removed=True).model, planted.skip_trigram(noise=0.05).model):
        result = found(one, two, measured(model))
        assert not EDGES & core_of(result) and result.core.jaccard.p == 1.0 and set(result.core_sizes) == {0}
        assert result.pairs.jaccard.values.tolist() == [1.0, 0.0, 0.0]
        assert set(result.paths.models.sel(path=[*EDGES]).values) == {2}


def test_another_way_through_the_same_heads_is_not_in_the_core() -> None:
    plant = planted.shared(noise=0.05)
    other = measured(plant.model, plant.tasks[1])  # L0H1 is read as values by the later head, not as keys
    result = found(permuted(0), permuted(1), other)
    assert "L0H1->L1H2.k" not in core_of(result) and result.core.jaccard.value == 0.5
    assert int(result.paths.models.sel(path="L0H1->L1H2.k")) == 2
    assert int(result.paths.models.sel(path="L0H1->L1H2.v")) == 1


def test_pairs_are_those_of_universality_and_two_models_have_no_agreement() -> None:
    one, two = permuted(0), permuted(1, 1)
    result = found(one, two)
    circuits = [
        [path for path, ok in zip(each.effects.paths, significant(each.effects.p), strict=True) if ok]
        for each in (one, two)
    ]
    partner = match(one.features, two.features, resamples=20).partner
    peer = universality(circuits[0], circuits[1], partner, CFG, draws=300)
    values = [result.pairs[name].item() for name in ("of_one", "of_other", "jaccard", "random", "p")]
    assert values == [peer.of_first, peer.of_second, peer.jaccard, peer.random.mean(), peer.p]
    assert result.core.jaccard.value == peer.jaccard  # of two models, the Jaccard index of all
    assert np.isnan(result.heads.agreement).all()


def test_features_of_effects_are_the_last_two() -> None:
    assert set(EFFECT_FEATURES) < set(FEATURES) and len(EFFECT_FEATURES) == 2


def test_what_cannot_be_compared_is_refused() -> None:
    one = permuted(0)
    with pytest.raises(ValueError, match="1 model: a circuit is followed across two or more"):
        found(one)
    fewer = one._replace(effects=one.effects._replace(paths=one.effects.paths[1:]))
    with pytest.raises(ValueError, match="not measured on the same paths"):
        found(one, fewer)
    bare = measured(planted.induction(noise=0.05, removed=True).model)
    with pytest.raises(NotMeasurable, match="no circuit has a path"):
        found(bare, bare)
