"""Curves of faithfulness over size: areas by hand, planted circuits, and orders that know nothing."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from ablations import forward
from circuits import planted
from circuits.circuit_quality import evaluate
from circuits.curves import SHARES, Curve, area_under_roc, curve, default_sizes, mib_sizes
from circuits.discover import candidates, path_effects


def test_areas_by_hand() -> None:
    half = Curve((0, 5, 10), np.array([0.0, 1.0, 1.0]))
    assert half.cpr == pytest.approx(0.25 + 0.5) and half.cmd == pytest.approx(0.25)
    over = Curve((0, 5, 10), np.array([0.0, 2.0, 1.0]))  # more than the whole model: good for one, bad for the other
    assert over.cpr == pytest.approx(0.5 + 0.75) and over.cmd == pytest.approx(0.5 + 0.25)


def test_sizes_are_those_of_mib_and_log_spaced() -> None:
    assert mib_sizes(1000) == [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000]
    assert mib_sizes(192) == sorted({int(share * 192) for share in SHARES}) and mib_sizes(192)[0] == 0
    assert default_sizes(192)[0] == 1 and default_sizes(192)[-1] == 192 and len(default_sizes(192)) >= 12


@pytest.fixture(scope="module")
def measured():
    plant = planted.induction(noise=0.05)
    effects = path_effects(plant.model, plant.tasks[0]).effect.mean(1)
    true = np.array([path in plant.edges[0] for path in candidates(plant.model.cfg)])
    return plant, effects, true


def test_a_planted_circuit_is_whole_once_its_paths_are_in(measured) -> None:
    plant, effects, true = measured
    weights, cfg, task = forward.weights_of(plant.model), plant.model.cfg, plant.tasks[0]
    by_effect = curve(weights, cfg, task, abs(effects), sizes=[1, 2, 3, 9])
    assert by_effect.sizes == (0, 1, 2, 3, 9, len(true))
    assert by_effect.faithfulness[0] == pytest.approx(0, abs=1e-5)
    assert by_effect.faithfulness[-1] == pytest.approx(1, abs=1e-5)
    assert by_effect.faithfulness[3] == pytest.approx(evaluate(weights, cfg, task, list(plant.edges[0])).faithfulness)
    assert by_effect.faithfulness[3] > 0.9 > by_effect.faithfulness[1]
    assert by_effect.cmd < 0.05
    last = curve(weights, cfg, task, -abs(effects), sizes=[1, 2, 3, 9])  # the control: the strongest come last
    assert last.cmd > 0.4 and last.cpr < by_effect.cpr - 0.4


def test_the_area_under_roc_is_that_of_scikit_learn(measured) -> None:
    _, effects, true = measured
    assert area_under_roc(abs(effects), true) == 1.0
    drawn = np.random.default_rng(0).integers(4, size=len(true)).astype(float)  # with ties
    assert area_under_roc(drawn, true) == pytest.approx(roc_auc_score(true, drawn))
    with pytest.raises(ValueError, match="0 of 81 paths are true"):
        area_under_roc(drawn, np.zeros(len(true), dtype=bool))


def test_bad_calls_are_refused(measured) -> None:
    plant, effects, _ = measured
    weights, cfg, task = forward.weights_of(plant.model), plant.model.cfg, plant.tasks[0]
    with pytest.raises(ValueError, match="3 scores of 81 paths"):
        curve(weights, cfg, task, effects[:3])
    with pytest.raises(ValueError, match="a finite one"):
        curve(weights, cfg, task, np.where(effects < 0, np.nan, effects))
    with pytest.raises(ValueError, match="a circuit has 0 to 81 paths"):
        curve(weights, cfg, task, effects, sizes=[90])
