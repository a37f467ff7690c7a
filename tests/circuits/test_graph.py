"""The graph holds what was measured, and others can read it."""

import json

import networkx as nx
import numpy as np
import pytest
import torch

from ablations import attention
from circuits import discover, graph, planted, tasks


@pytest.fixture(scope="module")
def measured():
    plant = planted.induction(noise=0.05)
    weights, cfg, task = attention.weights_of(plant.model), plant.model.cfg, plant.tasks[0]
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


def test_the_circuit_is_written_as_others_read_it(measured) -> None:
    plant, effects, whole = measured
    written = json.loads(json.dumps(graph.mib(whole, plant.model.cfg)))
    assert set(written) == {"cfg", "nodes", "edges"}
    assert written["cfg"] == {"n_layers": 2, "n_heads": 4, "parallel_attn_mlp": False, "d_model": planted.D_MODEL}
    assert len(written["edges"]) == len(effects.paths)
    for name in ("input->a0.h1<v>", "a0.h1->a1.h2<k>", "a1.h2->logits"):
        assert written["edges"][name]["in_graph"]
        assert written["edges"][name]["score"] > 1
    assert not written["edges"]["a0.h0->a1.h2<k>"]["in_graph"]
    assert written["nodes"]["a0.h1"] == {"in_graph": True}
    assert written["nodes"]["a1.h0"] == {"in_graph": False}


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
