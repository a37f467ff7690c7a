"""Which of the paths that were found lie on a way from the embedding to the output, along found paths alone.

Discovery tests each path by itself. It can find one into a head of which nothing further on was found, or from a head
into which nothing was: such a path moves the answer by a little, but no chain of found paths carries anything along it.
"""

import networkx as nx

from ablations.paths import OUTPUT
from circuits.graph import found_part, records


def on_a_way(graph: nx.DiGraph) -> set[tuple[str, str, str]]:
    """Source, target and input of the found paths whose source the embedding reaches, and whose target reaches the
    output.
    """
    part = found_part(graph)
    if not {"embed", OUTPUT} <= set(part):
        return set()
    reached = nx.descendants(part, "embed") | {"embed"}
    reaching = nx.ancestors(part, OUTPUT) | {OUTPUT}
    return {
        (source, target, via) for source, target, via, _ in records(part) if source in reached and target in reaching
    }
