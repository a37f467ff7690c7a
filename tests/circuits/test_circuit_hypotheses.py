"""Tests of circuits as hypotheses, on plants whose circuits are known, and on what is no circuit."""

import numpy as np
import pytest

from ablations import forward
from ablations.not_measurable import NotMeasurable
from ablations.paths import OUTPUT, Path
from circuits import planted
from circuits.against_random import against_random
from circuits.circuit_hypotheses import Hypotheses, holm, hypotheses
from circuits.discover_paths import candidates
from circuits.equivalence import equivalence

DRAWS = 50  # random sets: enough that all beaten shows something of five paths
FOUR = ("independence", "minimality", "sufficiency", "partial necessity")  # 64 prompts are too few for equivalence


def examined(plant: planted.Plant, circuit: list[Path]) -> Hypotheses:
    return hypotheses(forward.weights_of(plant.model), plant.model.cfg, plant.tasks[0], circuit, draws=DRAWS)


def failed(plant: planted.Plant, circuit: list[Path]) -> set[str]:
    """Which of the four do not hold."""
    found = examined(plant, circuit).holds()
    return {name for name in FOUR if not found[name]}


@pytest.mark.parametrize("make", [planted.induction, planted.skip_trigram, planted.brackets])
def test_a_planted_circuit_holds(make) -> None:
    plant = make(noise=0.05)
    assert failed(plant, sorted(plant.edges[0], key=str)) == set()
    exact = make()  # without noise all else does nothing, and the circuit is the model
    found = examined(exact, sorted(exact.edges[0], key=str))
    assert all(found.holds().values()) and found.equivalence.share == 0.5


def test_of_a_redundant_circuit_all_paths_are_too_many_and_half_is_enough() -> None:
    plant = planted.redundant(noise=0.05)
    every = sorted(plant.edges[0], key=str)
    half = [path for path in every if (0, 3) not in (path.source, path.target)]
    assert failed(plant, every) == {"minimality"} and failed(plant, half) == set()
    # the other half does the task where the way that both share is left out
    found = examined(plant, [path for path in half if path.target != OUTPUT])
    assert not found.holds()["independence"] and found.independence.share > 0.9
    assert not any(found.holds()[name] for name in FOUR)


def test_what_is_no_circuit_does_not_hold() -> None:
    plant = planted.induction(noise=0.05)
    every = sorted(plant.edges[0], key=str)
    assert failed(plant, [*every, Path((0, 2), (1, 0), "v")]) == {"minimality"}  # a path too many
    wrong = [path for path in every if path.via != "k"] + [Path((0, 2), (1, 2), "k")]
    assert failed(plant, wrong) == {"minimality", "sufficiency"}  # two of its paths are needed
    removed = planted.induction(noise=0.05, removed=True)
    assert {"minimality", "sufficiency"} <= failed(removed, every)


def test_equivalence_is_shown_within_the_margin_and_not_beyond() -> None:
    generator = np.random.default_rng(0)

    def shown(share: float, prompts: int) -> float:
        """How often, where the circuit wins on this share."""
        wins = generator.random((400, prompts)) < share
        return float(np.mean([equivalence(one * 2.0 - 1.0, np.zeros(prompts)).p < 0.05 for one in wins]))

    assert shown(0.5, 400) > 0.97 and shown(0.5, 40) < 0.3  # few prompts show nothing
    for share in (0.4, 0.6):  # at the margin
        assert shown(share, 200) < 0.05 + 4 * np.sqrt(0.05 * 0.95 / 400)
    assert shown(0.8, 200) == 0
    same = np.arange(10.0)
    assert equivalence(same + 1e-9, same, tie=1e-6) == (0.5, 0.1, 10, 0.0)
    assert equivalence(same + 1e-9, same).p == 1.0  # the control: without ties it wins everywhere
    for wrong in ({"margin": 0.5}, {"margin": 0.0}):
        with pytest.raises(ValueError, match="a margin lies between 0 and a half"):
            equivalence(same, same, **wrong)


def test_beating_nine_of_ten_random_sets_is_told_from_less() -> None:
    generator = np.random.default_rng(0)
    assert against_random(1.0, np.zeros(40)).p == pytest.approx(0.9**40)
    assert against_random(0.0, np.zeros(40)) == (0.0, 0.0, 0, 40, 1.0)  # ties are not beaten
    at_the_quantile = [against_random(0.9, generator.random(100)).p < 0.05 for _ in range(400)]
    assert np.mean(at_the_quantile) < 0.05 + 4 * np.sqrt(0.05 * 0.95 / 400)
    assert np.mean([against_random(0.99, generator.random(100)).p < 0.05 for _ in range(400)]) > 0.5
    with pytest.raises(ValueError, match=r"quantile=1\.0: it lies between 0 and 1"):
        against_random(0.0, np.zeros(3), quantile=1.0)


def test_adjusted_p_values_are_holms() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]


def test_wrong_arguments_are_told() -> None:
    plant = planted.induction()
    for circuit, message in (([], "give a circuit of a path or more"), (["L0H0->L1H9.k"], "no head|not a path")):
        with pytest.raises(ValueError, match=message):
            examined(plant, circuit)
    with pytest.raises(NotMeasurable, match="too few to compare with"):
        examined(plant, list(candidates(plant.model.cfg)))
