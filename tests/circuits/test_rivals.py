"""Rival circuits: the second way of a planted circuit that has two, and none where there is one way alone."""

import pytest

from ablations import forward
from circuits import planted
from circuits.circuit_quality import evaluate
from circuits.rivals import FAITHFUL, rivals


def test_a_redundant_circuit_has_a_rival_and_its_other_half_is_it() -> None:
    plant = planted.redundant()
    weights, cfg, task = forward.weights_of(plant.model), plant.model.cfg, plant.tasks[0]
    halves = [[path for path in plant.edges[0] if head not in (path.source, path.target)] for head in ((0, 3), (0, 1))]
    found = rivals(weights, cfg, task, halves[0])
    rival = found.without_strongest
    assert rival.found and set(rival.paths) == set(halves[1])
    assert FAITHFUL <= rival.faithfulness <= 2 - FAITHFUL
    assert evaluate(weights, cfg, task, halves[1]).faithfulness == pytest.approx(rival.faithfulness, abs=1e-5)
    assert not found.disjoint.found  # what both halves end in is needed
    assert {path for path, needed in found.needed.items() if needed} == {path for path in halves[0] if path.via is None}
    assert rival.shared(halves[0]) == 1 / 5


def test_a_circuit_with_one_way_alone_has_none() -> None:
    plant = planted.induction(noise=0.05)
    weights, cfg, task = forward.weights_of(plant.model), plant.model.cfg, plant.tasks[0]
    found = rivals(weights, cfg, task, list(plant.edges[0]))
    assert all(found.needed.values())
    for rival in (found.disjoint, found.without_strongest):
        assert not rival.found and rival.faithfulness < 0.2
    assert found.disjoint.shared(plant.edges[0]) == 0.0
    # the control: of a path that is not needed the true circuit is a rival without it
    idle = next(path for path in found.disjoint.paths)
    other = rivals(weights, cfg, task, [idle])
    assert other.disjoint.found and set(other.disjoint.paths) == set(plant.edges[0])


def test_bad_calls_are_refused() -> None:
    plant = planted.induction()
    weights, cfg, task = forward.weights_of(plant.model), plant.model.cfg, plant.tasks[0]
    with pytest.raises(ValueError, match="give a circuit"):
        rivals(weights, cfg, task, [])
    with pytest.raises(ValueError, match="faithfulness between 0 and 1"):
        rivals(weights, cfg, task, list(plant.edges[0]), faithful=1.5)
