"""Numbers that were not measured are null in JSON, and NaN again when it is read."""

import json
import math
from typing import Any

import networkx as nx
import numpy as np
import pytest
import torch

from ablations import forward
from circuits import annotate, discover, graph, tasks
from circuits.json_values import with_nan, without_nan
from tests.conftest import make_model


def read(text: str) -> Any:
    """The value of a text that is JSON in the strict sense."""
    return json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def test_null_stands_for_what_is_not_finite() -> None:
    value = {"a": [1, 2.5, math.nan, (math.inf, -math.inf)], "b": {"c": "NaN", "d": True}}
    assert without_nan(value) == {"a": [1, 2.5, None, [None, None]], "b": {"c": "NaN", "d": True}}
    back = with_nan(read(json.dumps(without_nan(value), allow_nan=False)))
    assert back["b"] == value["b"] and back["a"][:2] == [1, 2.5] and math.isnan(back["a"][2])
    assert "NaN" in json.dumps(value["a"])  # negative control


@pytest.fixture
def circuits() -> list[nx.DiGraph]:
    """One with a head that writes nothing, whose composition is no number, and one of attributions, without errors."""
    model = make_model()
    with torch.no_grad():
        model.blocks[0].attn.W_O[0] = 0.0
    weights, paths = forward.weights_of(model), discover.candidates(model.cfg)
    rows = torch.randint(50, (4, 16), generator=torch.Generator().manual_seed(1))
    task = tasks.Task("t", rows, rows.flip(0), rows[:, 0], rows[:, 1])
    none = np.zeros(len(paths), bool)
    exact = graph.circuit_graph(model.cfg, discover.exact(weights, model.cfg, task, paths), none)
    attributed = graph.circuit_graph(model.cfg, discover.attribution(weights, model.cfg, task, paths), none)
    return [annotate.with_composition(exact, weights, model.cfg), attributed]


def test_graphs_are_written_as_json_and_read_with_nan(circuits: list[nx.DiGraph]) -> None:
    numbers = 0
    for whole in circuits:
        text = json.dumps(graph.node_link(whole), allow_nan=False)
        back = graph.from_node_link(read(text))
        expected, found = ({(s, t, via): one for s, t, via, one in graph.records(g)} for g in (whole, back))
        assert expected.keys() == found.keys()
        for place, record in expected.items():
            assert record.keys() == found[place].keys()
            for name, number in record.items():
                np.testing.assert_equal(found[place][name], number, err_msg=f"{place} {name}")
                numbers += bool(isinstance(number, float) and math.isnan(number))
        json.dumps(graph.mib(whole, make_model().cfg), allow_nan=False)
    assert numbers > 0  # negative control: there was something to write as null
    json.dumps(graph.formation_node_link(dict(enumerate(circuits))), allow_nan=False)


def test_a_score_that_was_not_measured_in_mib(circuits: list[nx.DiGraph]) -> None:
    whole = circuits[1]
    source, target, via, record = next(graph.records(whole))
    record["effect"] = math.nan
    written = read(json.dumps(graph.mib(whole, make_model().cfg), allow_nan=False))
    assert sum(edge["score"] is None for edge in written["edges"].values()) == 1
    back = graph.from_mib(written)
    assert math.isnan(back.edges[source, target][via]["effect"])
    assert sum(math.isnan(one["effect"]) for *_, one in graph.records(back)) == 1
