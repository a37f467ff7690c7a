"""The graph holds what was measured, and others can read it."""

import copy
import json

import networkx as nx
import numpy as np
import pytest
import torch
import xarray as xr

from ablations import forward, overlap
from ablations.configuration import Configuration
from ablations.effects import Estimate
from circuits import annotate, composition, discover, graph, planted, tasks, ways

pytestmark = pytest.mark.both_majors


@pytest.fixture(scope="module")
def measured():
    plant = planted.induction(noise=0.05)
    weights, cfg, task = forward.weights_of(plant.model), plant.model.cfg, plant.tasks[0]
    paths = discover.candidates(cfg)
    effects = discover.exact(weights, cfg, task, paths)
    return plant, effects, graph.circuit_graph(cfg, effects, discover.significant(effects.p))


def test_a_networkx_user_can_go_on(measured) -> None:
    plant, effects, whole = measured
    assert set(whole.nodes) == {"embed", "output", *(f"L{layer}H{head}" for layer in (0, 1) for head in range(4))}
    assert nx.is_directed_acyclic_graph(whole)
    assert sum(len(records) for _, _, records in whole.edges(data=True)) == len(effects.paths)
    number = effects.paths.index(next(iter(edge for edge in plant.edges[0] if edge.via == "k")))
    record = whole.edges["L0H1", "L1H2"]["k"]
    assert record["effect"] == pytest.approx(effects.effect[number].mean())
    assert record["p"] == effects.p[number]
    part = graph.found_part(whole)
    assert nx.has_path(part, "embed", "output")
    assert ["embed", "L0H1", "L1H2", "output"] in list(nx.all_simple_paths(part, "embed", "output"))
    assert part.number_of_edges() < whole.number_of_edges() / 4
    back = nx.node_link_graph(json.loads(json.dumps(graph.node_link(whole))), edges="edges")
    assert nx.utils.graphs_equal(back, whole)


def test_paths_with_no_way_in_or_no_way_out_are_on_no_way(measured) -> None:
    _, _, whole = measured
    whole = copy.deepcopy(whole)
    circuit = {("embed", "L0H1", "v"), ("L0H1", "L1H2", "k"), ("L1H2", "output", "output")}
    found = {(source, target, via) for source, target, via, record in graph.records(whole) if record["found"]}
    assert ways.on_a_way(whole) == found == circuit
    astray = (("L0H3", "L1H3", "v"), ("L0H1", "L1H0", "v"), ("L0H2", "L1H2", "q"), ("L0H0", "output", "output"))
    for source, target, via in astray:  # none in and none out, none out, none in, none in to the output
        whole.edges[source, target][via]["found"] = True
    assert ways.on_a_way(whole) == circuit
    assert graph.found_part(whole).number_of_edges() == 3 + 4  # control: all of them were found
    whole.edges["embed", "L0H2"]["q"]["found"] = True  # a way in makes a way of it
    assert ways.on_a_way(whole) == circuit | {("embed", "L0H2", "q"), ("L0H2", "L1H2", "q")}
    for record in (whole.edges["embed", head][via] for head in ("L0H1", "L0H2") for via in "qkv"):
        record["found"] = False
    assert ways.on_a_way(whole) == set()


def test_the_circuit_is_written_as_others_read_it(measured) -> None:
    plant, effects, whole = measured
    written = json.loads(json.dumps(graph.mib(whole, plant.model.cfg)))
    assert len(written["edges"]) == len(effects.paths)
    for name in ("input->a0.h1<v>", "a0.h1->a1.h2<k>", "a1.h2->logits"):
        assert written["edges"][name]["in_graph"]
        assert written["edges"][name]["score"] > 1
    assert not written["edges"]["a0.h0->a1.h2<k>"]["in_graph"]
    assert written["nodes"]["a0.h1"] == {"in_graph": True}
    assert written["nodes"]["a1.h0"] == {"in_graph": False}


def test_a_circuit_of_others_is_read(measured) -> None:
    plant, _, whole = measured
    written = json.loads(json.dumps(graph.mib(whole, plant.model.cfg)))
    back = graph.from_mib(written)
    assert set(back.nodes) == set(whole.nodes) and all(back.nodes[node] == whole.nodes[node] for node in whole.nodes)
    expected = {(s, t, via): (abs(one["effect"]), one["found"]) for s, t, via, one in graph.records(whole)}
    assert {(s, t, via): (one["effect"], one["found"]) for s, t, via, one in graph.records(back)} == expected
    assert set(graph.found_part(back).edges) == set(graph.found_part(whole).edges)
    mlp = {"m0->a1.h0<q>": {"score": 0.0, "in_graph": False}, "a0.h0->m0": {"score": None, "in_graph": False}}
    assert nx.utils.graphs_equal(graph.from_mib(written | {"edges": written["edges"] | mlp}), back)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"m0->a1.h0": {"score": 0.5, "in_graph": False}}, "none of heads, MLPs, input and logits"),
        ({"a0.h0->m1<q>": {"score": 0.0, "in_graph": True}}, "none of heads, MLPs, input and logits"),
        ({"a0.h0->m2": {"score": 0.0, "in_graph": True}}, "MLP2 is not in a model of 2 layers"),
        ({"a7.h0->logits": {"score": 0.0, "in_graph": True}}, "L7H0 is not in a model of 2 layers"),
        ({"a0.h0->logits": {"score": 0.0}}, "not a circuit as EAP-IG and MIB write it"),
    ],
)
def test_what_is_no_circuit_is_refused(measured, change: dict, said: str) -> None:
    plant, _, whole = measured
    written = graph.mib(whole, plant.model.cfg)
    with pytest.raises(ValueError, match=said):
        graph.from_mib(written | {"edges": written["edges"] | change})
    with pytest.raises(ValueError, match="cfg and edges are needed"):
        graph.from_mib({"edges": {}})


@pytest.mark.parametrize(("layers", "heads"), [(2, 4), (3, 12)])
def test_mib_files_name_the_whole_graph_as_its_loader_does(layers: int, heads: int) -> None:
    """What `Graph.from_json` demands: three parts, four sizes, and no name but "input", "a0.h0", "logits", and for
    edges source->target, with the input of a head in angle brackets. It has all that a later layer can read from an
    earlier one; nodes have `in_graph`, edges `score` and `in_graph`.
    """
    sizes = {"d_model": 24, "d_head": 2, "n_ctx": 8, "d_vocab": 9}
    cfg = Configuration.of({"n_layers": layers, "n_heads": heads, "attn_only": True, **sizes})
    paths = discover.candidates(cfg)
    effects = discover.Effects(
        paths, np.arange(2.0 * len(paths)).reshape(-1, 2) - 7, np.ones(2), np.zeros(2), np.ones(len(paths))
    )
    found = np.arange(len(paths)) % 3 == 0
    written = json.loads(json.dumps(graph.mib(graph.circuit_graph(cfg, effects, found), cfg)))
    assert set(written) == {"cfg", "nodes", "edges"}
    assert written["cfg"] == {"n_layers": layers, "n_heads": heads, "parallel_attn_mlp": False, "d_model": 24}
    by_layer = [[f"a{layer}.h{head}" for head in range(heads)] for layer in range(layers)]
    assert list(written["nodes"]) == ["input", *(name for names in by_layer for name in names), "logits"]
    assert all(set(node) == {"in_graph"} and type(node["in_graph"]) is bool for node in written["nodes"].values())
    expected, before = set(), ["input"]
    for names in by_layer:
        expected |= {f"{source}->{target}<{via}>" for source in before for target in names for via in "qkv"}
        before += names
    assert set(written["edges"]) == expected | {f"{source}->logits" for source in before}
    for edge in written["edges"].values():
        assert set(edge) == {"score", "in_graph"}
        assert (type(edge["score"]), type(edge["in_graph"])) == (float, bool)
        assert edge["score"] >= 0
    assert sum(edge["in_graph"] for edge in written["edges"].values()) == found.sum()


def test_graphs_of_several_steps_come_from_one_table(measured) -> None:
    plant, effects, whole = measured
    last = graph.table(effects, discover.significant(effects.p))
    first = last.assign(effect=last.effect / 4, found=last.found & False)
    table = xr.concat([first, last], "step", combine_attrs="override").assign_coords(step=[10, 400])
    formed = graph.formation(plant.model.cfg, table)
    assert list(formed) == [10, 400]
    assert nx.utils.graphs_equal(formed[400], whole)
    assert formed[10].edges["L0H1", "L1H2"]["k"]["effect"] == whole.edges["L0H1", "L1H2"]["k"]["effect"] / 4
    assert graph.found_part(formed[10]).number_of_edges() == 0
    written = json.loads(json.dumps(graph.formation_node_link(formed)))
    assert [at["step"] for at in written["steps"]] == [10, 400]
    assert nx.utils.graphs_equal(nx.node_link_graph(written["steps"][1]["graph"], edges="edges"), whole)


def test_composition_stands_at_paths_between_heads(measured) -> None:
    plant, _, whole = measured
    weights, cfg = forward.weights_of(plant.model), plant.model.cfg
    annotated = annotate.with_composition(whole, weights, cfg)
    assert "composition" not in whole.edges["L0H1", "L1H2"]["k"]
    between = [(source, target, via) for source, target, via, at in graph.records(annotated) if "composition" in at]
    assert len(between) == 4 * 4 * 3
    scores = composition.composition(weights, cfg)
    record = annotated.edges["L0H1", "L1H2"]["k"]
    assert record["composition"] == pytest.approx(float(scores[0, 1, 1, 2, 1]) - cfg.d_model**-0.5)
    mean, sd = composition.spectral_baseline(weights, cfg)
    squared = record["composition_z"] * float(sd[0, 1, 1, 2, 1]) + float(mean)
    assert squared**0.5 == pytest.approx(float(scores[0, 1, 1, 2, 1]))
    z = {path: annotated.edges[path[:2]][path[2]]["composition_z"] for path in between}
    assert max(z, key=lambda path: z[path]) == ("L0H1", "L1H2", "k")
    assert annotated.edges["L0H1", "L1H2"]["k"]["p"] == whole.edges["L0H1", "L1H2"]["k"]["p"]


def test_overlap_stands_at_edges_between_heads(measured) -> None:
    plant, _, whole = measured
    generator = np.random.default_rng(0)
    chosen = generator.random((8, 2000)) < 0.05
    chosen[:, :100], chosen[:, 100:] = False, chosen[:, 100:] & (chosen[:, 100:].cumsum(1) <= 50)
    chosen[1, :50] = chosen[4 + 2, :50] = True  # L0H1 and L1H2
    shared = overlap.shared(chosen, generator.integers(5, size=2000))
    annotated = annotate.with_overlap(whole, shared, 100, plant.model.cfg)
    edge = annotated.edges["L0H1", "L1H2"]
    assert edge["overlap"] == pytest.approx((shared.both[1, 6] - shared.chance[1, 6]) / 100)
    assert edge["overlap_z"] > 10
    others = [data["overlap_z"] for *ends, data in annotated.edges(data=True) if "overlap" in data]
    assert len(others) == 16
    assert sorted(np.abs(others))[-2] < 4
    assert "overlap" not in annotated.edges["embed", "L0H1"]
    assert graph.found_part(annotated).edges["L0H1", "L1H2"]["overlap"] == edge["overlap"]
    assert graph.mib(annotated, plant.model.cfg) == graph.mib(whole, plant.model.cfg)
    with pytest.raises(ValueError, match="of 3 heads, the model has 8"):
        annotate.with_overlap(whole, overlap.shared(chosen[:3], np.zeros(2000, dtype=int)), 100, plant.model.cfg)


def test_heads_know_what_they_are(measured) -> None:
    *_, whole = measured
    annotated = annotate.with_heads(whole, {"L1H2": "induction"}, {"L0H1": Estimate(0.4, 0.01)})
    assert annotated.nodes["L1H2"] == {"layer": 1, "head": 2, "type": "induction"}
    assert annotated.nodes["L0H1"] == {"layer": 0, "head": 1, "effect": 0.4, "se": 0.01}
    assert whole.nodes["L1H2"] == {"layer": 1, "head": 2}
    with pytest.raises(ValueError, match="'L7H0' is not a node"):
        annotate.with_heads(whole, {"L7H0": "induction"})


def test_frequencies_stand_in_the_records_of_their_paths(measured) -> None:
    *_, whole = measured
    annotated = annotate.with_frequency(whole, {"L0H1->L1H2.k": 0.9, "embed->output": 0.1})
    for share, stays in ((0.9, True), (0.7, False)):  # of the plant's paths, those that are seldom found again
        changed = annotate.with_frequency(whole, {"L0H1->L1H2.k": share}).edges["L0H1", "L1H2"]["k"]
        assert changed["frequency"] == share and changed["passed"] and changed["found"] == stays
    assert not annotated.edges["embed", "output"]["output"]["passed"]
    assert annotated.edges["embed", "output"]["output"]["frequency"] == 0.1
    assert "frequency" not in annotated.edges["L0H1", "L1H2"]["q"] and "frequency" not in str(whole.edges(data=True))
    for name in ("L1H2->L0H1.k", "L7H0->output"):
        with pytest.raises(ValueError, match="is not a path of the graph"):
            annotate.with_frequency(whole, {name: 0.5})


def test_numbers_that_do_not_belong_together_are_refused(measured) -> None:
    plant, effects, _ = measured
    with pytest.raises(ValueError, match="give one for every path"):
        graph.circuit_graph(plant.model.cfg, effects, np.ones(3, dtype=bool))


def test_induction_prompts_repeat_and_corrupted_ones_do_not() -> None:
    rows = torch.stack([torch.randperm(40)[:9] for _ in range(6)])
    task = tasks.induction(rows, torch.full((6,), 77))
    for clean, corrupted, right, wrong in zip(task.clean, task.corrupted, task.right, task.wrong, strict=True):
        last = clean[-1]
        before = (clean[:-1] == last).nonzero().flatten().tolist()
        assert len(before) == 1
        assert clean[before[0] + 1] == right != wrong
        assert corrupted[-1] == last
        assert last not in corrupted[:-1]
        assert (clean != corrupted).nonzero().flatten().tolist() == before
        assert wrong in clean
    with pytest.raises(ValueError, match="is in it"):
        tasks.induction(rows, rows[:, 0])
    with pytest.raises(ValueError, match="at least 4"):
        tasks.induction(rows[:, :3], torch.full((6,), 77))
