"""A circuit as a networkx graph: what each path carries, and which paths passed the false-discovery control.

Nodes are "embed", heads and "output"; an edge holds one record for each input of its target ("q", "k", "v", or "output"
for the output): effect (mean over prompts, in the metric's units; negative: the path carries the task), se (over
prompts), p, found. Networkx algorithms work on it as it is.
"""

from typing import Any

import networkx as nx
import numpy as np
from jaxtyping import Bool
from transformer_lens import HookedTransformerConfig

from ablations.names import all_heads, head_name, parse_head
from ablations.paths import OUTPUT, VIAS, ends
from circuits.discover import Effects


def circuit_graph(
    cfg: HookedTransformerConfig,
    effects: Effects,
    found: Bool[np.ndarray, " path"],
) -> nx.DiGraph:
    """All measured paths; raises ValueError where their numbers do not agree."""
    if len(effects.paths) != len(found):
        raise ValueError(f"{len(effects.paths)} paths, {len(found)} findings: give one for every path")
    graph: nx.DiGraph = nx.DiGraph(
        prompts=effects.effect.shape[1], clean=_mean(effects.clean), corrupted=_mean(effects.corrupted)
    )
    graph.add_node("embed", layer=-1)
    for layer, head in all_heads(cfg):
        graph.add_node(head_name((layer, head)), layer=layer, head=head)
    graph.add_node(OUTPUT, layer=cfg.n_layers)
    errors = effects.effect.std(1, ddof=1) / effects.effect.shape[1] ** 0.5
    for number, path in enumerate(effects.paths):
        source, target = ends(path)
        record = {"effect": _mean(effects.effect[number]), "se": float(errors[number])}
        record |= {"p": float(effects.p[number]), "found": bool(found[number])}
        graph.add_edge(source, target)
        graph.edges[source, target][path.via or OUTPUT] = record
    return graph


def found_part(graph: nx.DiGraph) -> nx.DiGraph:
    """The edges with a path that was found, those paths alone, and their nodes."""
    part: nx.DiGraph = nx.DiGraph(**graph.graph)
    for source, target, records in graph.edges(data=True):
        kept = {via: record for via, record in records.items() if record["found"]}
        if kept:
            part.add_nodes_from((node, graph.nodes[node]) for node in (source, target))
            part.add_edge(source, target, **kept)
    return part


def node_link(graph: nx.DiGraph) -> dict[str, Any]:
    """As networkx's node-link JSON, which `networkx.node_link_graph(..., edges="edges")` reads."""
    return nx.node_link_data(graph, edges="edges")


def mib(graph: nx.DiGraph, cfg: HookedTransformerConfig) -> dict[str, Any]:
    """As the JSON that EAP-IG's and the MIB benchmark's `Graph.from_json` read: "a0.h5->a1.h4<k>", "input->a0.h5<v>",
    "a1.h4->logits"; the score of an edge is the size of its effect.
    """
    edges = {}
    for source, target, records in graph.edges(data=True):
        for via, record in records.items():
            name = f"{_mib_name(source)}->{_mib_name(target)}" + (f"<{via}>" if via in VIAS else "")
            edges[name] = {"score": abs(record["effect"]), "in_graph": record["found"]}
    connected = found_part(graph).nodes
    nodes = {_mib_name(node): {"in_graph": node in connected} for node in graph.nodes}
    nodes["input"]["in_graph"] = nodes["logits"]["in_graph"] = True
    sizes = {"n_layers": cfg.n_layers, "n_heads": cfg.n_heads, "parallel_attn_mlp": False, "d_model": cfg.d_model}
    return {"cfg": sizes, "nodes": nodes, "edges": edges}


def _mib_name(node: str) -> str:
    if node in ("embed", OUTPUT):
        return "input" if node == "embed" else "logits"
    layer, head = parse_head(node)
    return f"a{layer}.h{head}"


def _mean(values: np.ndarray) -> float:
    return float(np.mean(values))
