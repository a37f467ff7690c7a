"""The page's circuit as MIB's JSON is Python's; and the nearest measured checkpoint is found."""

import json

import numpy as np
import pytest
import xarray as xr

from circuits import discover, graph, planted
from circuits.graph import from_table, mib
from experiments.plots import circuit_layout
from tests.conftest import GPT2, make_model
from tests.experiments.explorer.in_node import called
from tests.experiments.explorer.programs import needs_node

pytestmark = needs_node
FILES = ("scales", "circuit_steps", "mib")


def as_in_page(whole: graph.nx.DiGraph, cfg: object, table: xr.Dataset) -> dict:
    """What the page carries of a table of one step."""
    records = [
        {"source": source, "target": target, "via": via, "name": f"{source}->{target}"}
        for source, target, via, _ in graph.records(whole)
    ]
    effects = [record["effect"] for *_, record in graph.records(whole)]
    found = [float(record["found"]) for *_, record in graph.records(whole)]
    return {
        "model": mib(whole, cfg)["cfg"],  # type: ignore[arg-type]
        "nodes": [{"name": name} for name in circuit_layout.places(whole)],
        "paths": records,
        "effect": [effects],
        "found": [found],
    }


def written(found: dict) -> dict:
    return called(FILES, "return asMib(given, 0, (number) => isInside(given, 'found', 0, number));", found)


def test_a_planted_circuit_is_written_as_python_writes_it() -> None:
    plant = planted.induction()
    effects = discover.path_effects(plant.model, plant.tasks[0])
    table, cfg = graph.table(effects, discover.significant(effects.p)), plant.model.cfg
    whole = from_table(cfg, table)
    ours = written(as_in_page(whole, cfg, table))
    assert ours == json.loads(json.dumps(mib(whole, cfg)))
    assert {name for name, edge in ours["edges"].items() if edge["in_graph"]} == {
        "input->a0.h1<v>", "a0.h1->a1.h2<k>", "a1.h2->logits",
    } | {name for name, edge in mib(whole, cfg)["edges"].items() if edge["in_graph"]}  # fmt: skip
    other = from_table(cfg, table.assign(found=~table.found))
    assert ours != json.loads(json.dumps(mib(other, cfg)))  # the control


@pytest.mark.parametrize("parallel", [False, True])
def test_circuits_with_mlps_are_written_too(parallel: bool) -> None:
    cfg = make_model(**GPT2, parallel_attn_mlp=parallel).cfg
    names = [graph.path_name(path) for path in discover.candidates(cfg)]
    generator = np.random.default_rng(0)
    effect = generator.normal(size=len(names))
    data = {name: ("path", values) for name, values in (("effect", effect), ("se", effect), ("p", effect))}
    data["found"] = ("path", generator.random(len(names)) < 0.2)
    table = xr.Dataset(data | {"clean": 1.0, "corrupted": 0.0}, {"path": names}, {"prompts": 8})
    whole = from_table(cfg, table)
    ours = written(as_in_page(whole, cfg, table))
    assert ours == json.loads(json.dumps(mib(whole, cfg))) and any("m0" in name for name in ours["edges"])


def test_the_nearest_measured_checkpoint_is_taken() -> None:
    data = {"steps": [0, 100, 200, 400, 800], "circuit": {"steps": [0, 200, 800]}}
    body = "return given.steps.map((step) => measuredAt(given, step));"
    assert called(FILES, body, data) == [0, 0, 1, 1, 2]
