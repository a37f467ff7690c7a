"""What EAP-IG and the MIB benchmark write is read: its circuit, and its scores beside the exact effects."""

import json
import math

import numpy as np
import pytest

from ablations import forward
from ablations.paths import parse_path
from circuits import discover, graph, planted
from circuits.attributions.compare import compare
from circuits.attributions.written import scores
from circuits.discover import candidates
from tests.circuits.attributions.test_attributions import made, task


def by_eap_ig(n_layers: int = 2, n_heads: int = 3, mlp_score: float = 0.0) -> dict:
    """A record with all that `Graph.to_json` writes of a scored graph: every edge in the loader's order, MLPs too."""
    sizes = {"n_layers": n_layers, "n_heads": n_heads, "parallel_attn_mlp": False, "d_model": 24}
    nodes = {"input": {"in_graph": True, "score": math.nan}}
    edges: dict[str, dict] = {}
    before = ["input"]
    for layer in range(n_layers):
        own = [f"a{layer}.h{head}" for head in range(n_heads)]
        for name in own:
            edges |= {
                f"{source}->{name}<{via}>": {"score": 0.0, "in_graph": False} for source in before for via in "qkv"
            }
        before += own
        edges |= {f"{source}->m{layer}": {"score": mlp_score, "in_graph": False} for source in before}
        before.append(f"m{layer}")
        nodes |= {name: {"in_graph": False, "score": math.nan} for name in (*own, f"m{layer}")}
    edges |= {f"{source}->logits": {"score": 0.0, "in_graph": False} for source in before}
    return {"cfg": sizes, "nodes": nodes | {"logits": {"in_graph": True, "score": math.nan}}, "edges": edges}


def through_a_file(record: dict) -> dict:
    return json.loads(json.dumps(record))  # NaN as NaN, as Python writes it


def test_a_scored_graph_is_read_as_a_circuit() -> None:
    record = by_eap_ig()
    circuit = ("input->a0.h1<v>", "a0.h1->a1.h2<k>", "a1.h2->logits")
    for number, name in enumerate(circuit):
        record["edges"][name] = {"score": -0.5 * (number + 1), "in_graph": True}
    read = graph.from_mib(through_a_file(record))
    assert sorted(graph.found_part(read).edges) == [("L0H1", "L1H2"), ("L1H2", "output"), ("embed", "L0H1")]
    assert read.edges["L0H1", "L1H2"]["k"] == {"effect": -1.0, "found": True}
    assert read.edges["L0H1", "L1H2"]["q"] == {"effect": 0.0, "found": False}


def test_scores_stand_in_the_order_of_paths() -> None:
    _, cfg = made()
    record = by_eap_ig(mlp_score=7.0)
    record["edges"]["a0.h1->a1.h2<k>"]["score"] = -1.5
    record["edges"]["input->logits"]["score"] = 2.0
    found = scores(through_a_file(record), candidates(cfg))
    assert len(found) == len(candidates(cfg)) and np.count_nonzero(found) == 2  # edges of MLPs are no paths
    assert found[candidates(cfg).index(parse_path("L0H1->L1H2.k"))] == -1.5
    assert found[candidates(cfg).index(parse_path("embed->output"))] == 2.0


def test_they_stand_beside_exact_effects() -> None:
    plant = planted.induction(noise=0.05)
    cfg, asked = plant.model.cfg, plant.tasks[0]
    weights = forward.weights_of(plant.model)
    effects = discover.path_effects(plant.model, asked)
    own = graph.mib(graph.circuit_graph(cfg, effects, discover.significant(effects.p)), cfg)
    read = scores(through_a_file(own), effects.paths)
    np.testing.assert_allclose(read, abs(effects.effect.mean(1)), rtol=1e-6)
    shuffled = np.random.default_rng(0).permutation(read)
    table = compare(weights, cfg, asked, methods=["EAP"], others={"theirs": read, "shuffled": shuffled})
    assert table.estimator.values.tolist() == ["exact", "EAP", "theirs", "shuffled"]
    ranks = table.rank_correlation.sel(estimator=["theirs", "shuffled"]).values
    assert ranks[0] == pytest.approx(1) and abs(ranks[1]) < 0.4  # the control
    assert np.isnan(table.seconds.values[2:]).all() and (table.seconds.values[:2] > 0).all()


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({"cfg": {}}, "edges are needed"),
        ({"edges": {"input->logits": 3.0}}, "edges are needed"),
        ({"edges": {"input->logits": {"score": None}}}, r"no score of embed->output \(input->logits\)"),
        ({"edges": {"input->logits": {"score": math.nan}}}, "score all edges"),
        ({"edges": {}}, "no score of embed->output"),
    ],
)
def test_other_records_are_refused(record: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        scores(record, [parse_path("embed->output")])


def test_scores_that_do_not_belong_are_refused() -> None:
    weights, cfg = made()
    paths = [parse_path("embed->output"), parse_path("L1H0->output")]
    for name, wrong in (("few", np.zeros(1)), ("odd", np.array([1.0, np.nan])), ("EAP", np.zeros(2))):
        with pytest.raises(ValueError, match="give 2 finite ones, by a new name"):
            compare(weights, cfg, task(), paths, methods=["EAP"], others={name: wrong})


def test_circuits_of_single_neurons_are_refused() -> None:
    record = by_eap_ig()
    whole = {"neurons": [True] * 24, "neurons_scores": [math.nan] * 24}
    record["nodes"] = {name: about | whole for name, about in record["nodes"].items()}
    assert graph.from_mib(through_a_file(record)).number_of_edges() > 0  # all neurons: the nodes as a whole
    record["nodes"]["a0.h1"] = {"in_graph": True, "neurons": [True] * 23 + [False]}
    with pytest.raises(ValueError, match=r"a0\.h1 is there with some of its neurons: take circuits of whole heads"):
        graph.from_mib(through_a_file(record))
