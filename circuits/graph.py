"""A circuit as a networkx graph: what each path carries, and which paths passed the false-discovery control.

Nodes are "embed", heads, MLPs ("MLP0") where the model has them, and "output"; an edge holds one record for each input
of its target ("q", "k", "v" of heads, "mlp" of an MLP, "output" of the output): effect (mean over prompts, in the
metric's units; negative: the path carries the task), se (over prompts), p, found, and the parts of the effect where the
table has them (`circuits.scale_part`). What `circuits.annotate` adds stands in the same places. Networkx algorithms
work on it as it is.

Graphs are made from a table (an xarray Dataset) of effect, se, p, found [path] and clean, corrupted (scalars; the mean
metric of the clean and of the corrupted prompts), in which all may have a dimension `step` before.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import networkx as nx
import numpy as np
import xarray as xr
from jaxtyping import Bool

from ablations.models import Config
from ablations.names import head_name, mlp_layer, mlp_name
from ablations.paths import OUTPUT, VIAS, Path, ends, parse_path, path_name
from circuits import mib_names, scale_part
from circuits.discover_paths import Effects
from circuits.json_values import with_nan, without_nan

MLP_INPUT = "mlp"
INPUTS = (*VIAS, MLP_INPUT, OUTPUT)  # of targets: the names under which edges hold their records


def circuit_graph(cfg: Config, effects: Effects, found: Bool[np.ndarray, " path"]) -> nx.DiGraph:
    """The graph of all measured paths.

    Arguments:

        cfg      the model's configuration, for the nodes of its heads
        effects  what `discover.path_effects` measured
        found    which of the paths passed, as `discover.significant` says

    Raises ValueError where there is not one finding for every path.

    Example:

        >>> from circuits import discover, graph, planted
        >>> plant = planted.induction()
        >>> effects = discover.path_effects(plant.model, plant.tasks[0])
        >>> whole = graph.circuit_graph(plant.model.cfg, effects, discover.significant(effects.p))
        >>> sorted(graph.found_part(whole).edges)
        [('L0H1', 'L1H2'), ('L1H2', 'output'), ('embed', 'L0H1')]
        >>> bool(whole.edges["L0H1", "L1H2"]["k"]["effect"] < 0)  # the path carries the task
        True
    """
    return from_table(cfg, table(effects, found))


def table(effects: Effects, found: Bool[np.ndarray, " path"]) -> xr.Dataset:
    """The table that a graph is made from, at one step.

    Raises ValueError where there is not one finding for every path.
    """
    if len(effects.paths) != len(found):
        raise ValueError(f"{len(effects.paths)} paths, {len(found)} findings: give one for every path")
    prompts = effects.effect.shape[1]
    data = {
        "effect": ("path", effects.effect.mean(1)),
        "se": ("path", effects.effect.std(1, ddof=1) / prompts**0.5),
        "p": ("path", effects.p),
        "found": ("path", found),
        "clean": ((), effects.clean.mean()),
        "corrupted": ((), effects.corrupted.mean()),
    }
    return xr.Dataset(data, {"path": [path_name(path) for path in effects.paths]}, {"prompts": prompts})


def from_table(cfg: Config, measured: xr.Dataset) -> nx.DiGraph:
    """The graph of a table of one step.

    Raises ValueError for a table that lacks what a graph is made from.
    """
    needed = ("path", "effect", "se", "p", "found", "clean", "corrupted")
    if missing := [name for name in needed if name not in measured] + ["prompts"] * ("prompts" not in measured.attrs):
        raise ValueError(f"the table has no {', '.join(missing)}: make it with `circuits.graph.table`")
    graph: nx.DiGraph = nx.DiGraph(
        prompts=int(measured.attrs["prompts"]), clean=float(measured.clean), corrupted=float(measured.corrupted)
    )
    _add_nodes(graph, cfg.n_layers, cfg.n_heads, not cfg.attn_only)
    parts = [name for name in scale_part.COLUMNS if name in measured]
    columns = {name: measured[name].values.tolist() for name in ("effect", "se", "p", "found", *parts)}
    for number, name in enumerate(measured.path.values.tolist()):
        path = parse_path(name)
        graph.add_edge(*ends(path))
        about = {column: values[number] for column, values in columns.items()}
        graph.edges[ends(path)][input_of(path)] = {
            column: value for column, value in about.items() if column not in parts or value == value
        }
    return graph


def _add_nodes(graph: nx.DiGraph, layers: int, heads: int, mlps: bool) -> None:
    """All nodes of a model of so many layers and heads, with MLPs or without."""
    graph.add_node("embed", layer=-1)
    for layer in range(layers):
        for head in range(heads):
            graph.add_node(head_name((layer, head)), layer=layer, head=head)
        if mlps:
            graph.add_node(mlp_name(layer), layer=layer)
    graph.add_node(OUTPUT, layer=layers)


def input_of(path: Path) -> str:
    """The name under which an edge holds the record of this path."""
    return path.via or input_name(str(path.target))


def input_name(target: str) -> str:
    """The name of the one input of a target that is no head."""
    return OUTPUT if target == OUTPUT else MLP_INPUT


def formation(cfg: Config, measured: xr.Dataset) -> dict[int, nx.DiGraph]:
    """The graph of every step of a table that has a dimension `step`, by step."""
    return {int(step): from_table(cfg, measured.sel(step=step)) for step in measured.step.values}


def records(graph: nx.DiGraph) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """Source, target, input and record of every path."""
    for source, target, data in graph.edges(data=True):
        for via in INPUTS:
            if via in data:
                yield source, target, via, data[via]


def found_part(graph: nx.DiGraph) -> nx.DiGraph:
    """The edges with a path that was found, those paths alone, and their nodes."""
    kept = {(source, target, via) for source, target, via, record in records(graph) if record["found"]}
    edges = {(source, target) for source, target, _ in kept}
    part: nx.DiGraph = nx.DiGraph(**graph.graph)
    for source, target, data in graph.edges(data=True):
        if (source, target) in edges:
            part.add_nodes_from((node, graph.nodes[node]) for node in (source, target))
            about = {
                name: value for name, value in data.items() if name not in INPUTS or (source, target, name) in kept
            }
            part.add_edge(source, target, **about)
    return part


def node_link(graph: nx.DiGraph) -> dict[str, Any]:
    """The graph as networkx's node-link JSON, which `networkx.node_link_graph(..., edges="edges")` reads.

    A number that was not measured (NaN) is null there, and NaN again in what `from_node_link` reads.
    """
    return without_nan(nx.node_link_data(graph, edges="edges"))


def from_node_link(record: Mapping[str, Any]) -> nx.DiGraph:
    """The graph that `node_link` wrote."""
    return nx.DiGraph(nx.node_link_graph(with_nan(dict(record)), edges="edges"))


def formation_node_link(graphs: Mapping[int, nx.DiGraph]) -> dict[str, Any]:
    """The graphs of several steps as JSON: {"steps": [{"step": 400, "graph": what `node_link` gives}, ...]}."""
    return {"steps": [{"step": step, "graph": node_link(graph)} for step, graph in graphs.items()]}


def mib(graph: nx.DiGraph, cfg: Config) -> dict[str, Any]:
    """The graph as the JSON that EAP-IG's and the MIB benchmark's `Graph.from_json` read: "a0.h5->a1.h4<k>",
    "input->m0", "a1.h4->logits"; the score of an edge is the size of its effect, null where it is NaN.

    Those graphs have an MLP in every layer, and corrupt what is not in the circuit. Of an attention-only model nothing
    is said of MLPs: what is not named stays out of the graph, with score 0.
    """
    edges = {
        mib_names.edge_name(source, target, via): {"score": abs(record["effect"]), "in_graph": record["found"]}
        for source, target, via, record in records(graph)
    }
    connected = found_part(graph).nodes
    nodes = {mib_names.node_name(node): {"in_graph": node in connected} for node in graph.nodes}
    nodes["input"]["in_graph"] = nodes["logits"]["in_graph"] = True
    parallel = bool(cfg.parallel_attn_mlp) and not cfg.attn_only
    sizes = {"n_layers": cfg.n_layers, "n_heads": cfg.n_heads, "parallel_attn_mlp": parallel, "d_model": cfg.d_model}
    return without_nan({"cfg": sizes, "nodes": nodes, "edges": edges})


def from_mib(record: Mapping[str, Any]) -> nx.DiGraph:
    """A circuit that EAP-IG, the MIB benchmark or `mib` wrote: effect is the score there (null is NaN), found in_graph.

    Those graphs have MLPs even of attention-only models: where no edge of an MLP is in the graph or has a score other
    than 0, MLPs are left out. Raises ValueError for what is no such record, and for nodes of which single neurons
    are in the graph.
    """
    graph: nx.DiGraph = nx.DiGraph()
    try:
        _check_whole(record.get("nodes", {}))
        sizes, named = record["cfg"], record["edges"]
        about = {name: (bool(edge["in_graph"]), _score(edge["score"])) for name, edge in named.items()}
        paths = {name: mib_names.parse_edge(name) for name in about}
        counts = {name for name, (found, score) in about.items() if found or not (score == 0 or np.isnan(score))}
        if strange := next((name for name, path in paths.items() if path is None and name in counts), None):
            raise ValueError(f"edge {strange!r} is none of heads, MLPs, input and logits: write it as a0.h1->a1.h2<k>")
        mlps = any(path and _has_mlp(path) for name, path in paths.items() if name in counts)
        _add_nodes(graph, sizes["n_layers"], sizes["n_heads"], mlps)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a circuit as EAP-IG and MIB write it ({error!r}): cfg and edges are needed") from None
    for name, path in paths.items():
        if path and (mlps or not _has_mlp(path)):
            source, target, via = path
            found, score = about[name]
            graph.add_edge(source, target)
            graph.edges[source, target][via or input_name(target)] = {"effect": score, "found": found}
    if strangers := [node for node, at in graph.nodes(data=True) if "layer" not in at]:
        raise ValueError(f"{strangers[0]} is not in a model of {sizes['n_layers']} layers of {sizes['n_heads']} heads")
    return graph


def _check_whole(nodes: Mapping[str, Any]) -> None:
    """Raises ValueError for a node of which single neurons are in a circuit (older files have no record of a node)."""
    for name, about in nodes.items():
        if isinstance(about, Mapping) and about["in_graph"] and not all(about.get("neurons", [])):
            raise ValueError(f"{name} is there with some of its neurons: take circuits of whole heads")


def _score(value: float | None) -> float:
    return float("nan") if value is None else float(value)


def _has_mlp(path: tuple[str, str, str | None]) -> bool:
    return any(mlp_layer(end) is not None for end in path[:2])
