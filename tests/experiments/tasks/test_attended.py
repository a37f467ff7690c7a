"""Why the heads of a circuit look where they do: the planted pairs come out, and nothing is told of other heads."""

from ablations import forward
from circuits import planted
from experiments.pages import circuit_attended
from experiments.tasks import attended


def test_the_planted_pair_makes_the_induction_head_look_there() -> None:
    plant = planted.induction()
    weights, cfg, task = forward.weights_of(plant.model), plant.model.cfg, plant.tasks[0]
    found = attended.of_circuit(weights, cfg, task, sorted(plant.edges[0], key=str))
    assert [*found] == ["L1H2"]  # the only head that the circuit reaches through queries or keys
    first = found["L1H2"].iloc[0]
    assert (first.query_source, first.key_source) == ("embed", "L0H1")
    assert first.contrast > 0.9 * found["L1H2"].attrs["total"] > 1 and first.half_width < first.contrast
    (page,) = (part.body for part in circuit_attended.sections(found))
    assert page.count("<tr>") == 1 + circuit_attended.TOP and "L0H1" in page
    assert attended.of_circuit(weights, cfg, task, []) == {} and circuit_attended.sections({}) == []


def test_without_the_plant_no_pair_stands_out() -> None:
    """The control."""
    plant, bare = planted.induction(), planted.induction(noise=0.05, removed=True)
    weights, cfg = forward.weights_of(bare.model), bare.model.cfg
    pairs = attended.of_circuit(weights, cfg, bare.tasks[0], sorted(plant.edges[0], key=str))["L1H2"]
    assert abs(pairs.contrast).max() < 1
