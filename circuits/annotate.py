"""What else is known of a circuit's heads and edges, put into its graph; each function returns a graph of its own.

Effects say what a path carries. Composition says how much the weights of its two ends match, overlap whether both ends
matter for the same tokens of real text: neither is measured on the task.
"""

import copy
from collections.abc import Mapping

import networkx as nx
import numpy as np
from jaxtyping import Float

from ablations.effects import Estimate
from ablations.forward import Weights
from ablations.models import Config
from ablations.names import all_heads, head_name, parse_head
from ablations.overlap import Shared
from ablations.paths import ends, parse_path
from circuits import composition
from circuits.graph import input_of, records
from circuits.stability import STABLE


def with_composition(graph: nx.DiGraph, weights: Weights, cfg: Config) -> nx.DiGraph:
    """Records between heads gain `composition`, the score less 1 / sqrt(d_model), and `composition_z`.

    Both are against the same two matrices turned against each other at random. Its squared score has mean 1 / d_model
    and a standard deviation of that pair's (`composition.spectral_baseline`): z is (score^2 - mean) / sd, and 0 where
    chance leaves nothing open (sd 0), as for a head that writes nothing.
    """
    annotated, heads = copy.deepcopy(graph), {*map(head_name, all_heads(cfg))}
    scores = composition.composition(weights, cfg)
    mean, sd = composition.spectral_baseline(weights, cfg)
    for source, target, via, record in records(annotated):
        if not {source, target} <= heads:
            continue
        at = (*parse_head(source), *parse_head(target), composition.VIAS.index(via))
        record["composition"] = float(scores[at] - mean.sqrt())
        record["composition_z"] = float((scores[at] ** 2 - mean) / sd[at]) if sd[at] > 0 else 0.0
    return annotated


def with_overlap(graph: nx.DiGraph, shared: Shared, size: int, cfg: Config) -> nx.DiGraph:
    """Edges between heads gain `overlap`, the share of the tokens that one end matters most for that are also the
    other's, less what it is among like tokens by chance, and `overlap_z`.

    shared: of all heads, in the order of `all_heads`; size: tokens in each head's list. Raises ValueError for another
    number of heads.
    """
    heads = all_heads(cfg)
    if len(shared.both) != len(heads):
        raise ValueError(f"overlaps of {len(shared.both)} heads, the model has {len(heads)}: give them of every head")
    numbers = {head_name(head): number for number, head in enumerate(heads)}
    annotated = copy.deepcopy(graph)
    excess: Float[np.ndarray, "head head"] = (shared.both - shared.chance) / size
    for source, target, data in annotated.edges(data=True):
        if not {source, target} <= set(numbers):
            continue
        at = numbers[source], numbers[target]
        data["overlap"], data["overlap_z"] = float(excess[at]), float(shared.z[at])
    return annotated


def with_frequency(graph: nx.DiGraph, frequency: Mapping[str, float], stable: float = STABLE) -> nx.DiGraph:
    """Records gain `frequency`, the share of resamples of the prompts in which the path is found (`stability`), and
    `passed`, whether it was found on all prompts; only those of them that are stable stay found.

    Raises ValueError for a path, by its name, that the graph does not have.
    """
    annotated = copy.deepcopy(graph)
    for name, share in frequency.items():
        path = parse_path(name)
        via = input_of(path)
        if not annotated.has_edge(*ends(path)) or via not in annotated.edges[ends(path)]:
            raise ValueError(f"{name!r} is not a path of the graph: name paths as L0H1->L1H2.k")
        record = annotated.edges[ends(path)][via]
        record.update(frequency=share, passed=record["found"], found=record["found"] and share >= stable)
    return annotated


def with_heads(
    graph: nx.DiGraph, types: Mapping[str, str] | None = None, effects: Mapping[str, Estimate] | None = None
) -> nx.DiGraph:
    """Heads gain `type`, and `effect` and `se` of removing them, where these are known (by the head's name).

    Raises ValueError for a head that the graph does not have.
    """
    annotated = copy.deepcopy(graph)
    for name in (*(types or {}), *(effects or {})):
        if name not in annotated:
            raise ValueError(f"{name!r} is not a node of the graph: name heads as L1H3")
    for name, kind in (types or {}).items():
        annotated.nodes[name]["type"] = kind
    for name, estimate in (effects or {}).items():
        annotated.nodes[name].update(effect=estimate.value, se=estimate.se)
    return annotated
