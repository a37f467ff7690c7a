"""What is told of a circuit's five tests, on a plant; where nothing was found the verb's own test says what is told."""

import pytest

from ablations import forward
from ablations.paths import path_name
from circuits import planted
from circuits.circuit_hypotheses import hypotheses
from experiments.pages import circuit_words
from experiments.tasks.hypothesis_tests import as_dataset


def test_the_sentence_has_the_numbers_of_the_tests() -> None:
    plant = planted.redundant(noise=0.05)
    circuit = sorted(plant.edges[0], key=str)
    tested = hypotheses(forward.weights_of(plant.model), plant.model.cfg, plant.tasks[0], circuit, draws=50)
    table = as_dataset(tested)
    assert table.path.values.tolist() == [path_name(path) for path in circuit]
    assert table.minimality_p.values == pytest.approx([one.p for one in tested.minimality.values()])
    said = circuit_words.as_hypothesis(table)
    for part in (
        "equivalence does not hold, alone it beats the model on 57% of 64 prompts",
        "independence holds, without it 0% of the task is left",
        "minimality does not hold, 1 of its 5 paths matter more",
        "sufficiency holds, it is more faithful than 50 of 50 random circuits as large",
        "partial necessity holds, more is lost without it than without 50 of 50 random sets of other paths",
    ):
        assert part in said, said
