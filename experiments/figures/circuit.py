"""A circuit's graph: layers from the embedding up to the output, what was found in colour, everything else left out."""

import networkx as nx
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch

from experiments.figures import style

COLORS = {**style.VIA_COLORS, "output": "#CC79A7"}
NAMES = {**style.VIA_NAMES, "output": "to the output"}
BENDS = {"q": 0.16, "k": 0.0, "v": -0.16, "output": 0.0}
WIDEST = 7.0  # points, of the largest effect


def draw(graph: nx.DiGraph, title: str, shown: int = 40) -> Figure:
    """Nodes are all that the model has; of the paths that were found, the `shown` with the largest effects."""
    layers = sorted({data["layer"] for _, data in graph.nodes(data=True)})
    widest = max(sum(data["layer"] == layer for _, data in graph.nodes(data=True)) for layer in layers)
    figure = style.new_figure(max(6.5, 0.75 * widest + 1.5), 1.35 * len(layers) + 1.2)
    axis = figure.subplots()
    places = _places(graph, widest)
    paths = _ranked(graph)[:shown]
    largest = max((abs(record["effect"]) for *_, record in paths), default=1.0)
    for source, target, via, record in reversed(paths):
        _arrow(axis, places[source], places[target], via, abs(record["effect"]) / largest)
    used = {node for source, target, *_ in paths for node in (source, target)}
    for node, (x, y) in places.items():
        strong = node in used
        axis.text(
            x, y, node, ha="center", va="center", fontsize=style.FONT, color="black" if strong else "#8a8a8a", zorder=5,
            bbox={"boxstyle": "round,pad=0.35", "fc": "white", "ec": "black" if strong else style.QUIET, "lw": 1.1},
        )  # fmt: skip
    _legend(axis, largest)
    axis.set_title(title, fontsize=style.FONT + 1)
    axis.set_xlim(-0.7, widest - 0.3)
    axis.set_ylim(-0.45, len(layers) - 0.55)
    axis.axis("off")
    return figure


def _places(graph: nx.DiGraph, widest: int) -> dict[str, tuple[float, float]]:
    """Layer by layer, upwards; single nodes in the middle."""
    by_layer: dict[int, list[str]] = {}
    for node, data in graph.nodes(data=True):
        by_layer.setdefault(data["layer"], []).append(node)
    return {
        node: ((widest - 1) / 2 + number - (len(by_layer[layer]) - 1) / 2, float(height))
        for height, layer in enumerate(sorted(by_layer))
        for number, node in enumerate(by_layer[layer])
    }


def _ranked(graph: nx.DiGraph) -> list[tuple[str, str, str, dict]]:
    found = [
        (source, target, via, record)
        for source, target, records in graph.edges(data=True)
        for via, record in records.items()
        if record["found"]
    ]
    return sorted(found, key=lambda path: -abs(path[3]["effect"]))


def _arrow(axis: Axes, start: tuple[float, float], end: tuple[float, float], via: str, share: float) -> None:
    axis.add_patch(
        FancyArrowPatch(
            start,
            end,
            arrowstyle="-",
            connectionstyle=f"arc3,rad={BENDS[via]}",
            color=COLORS[via],
            linewidth=max(0.5, WIDEST * share),
            alpha=0.25 + 0.7 * share,
            shrinkA=10,
            shrinkB=10,
            zorder=2 + share,
        )
    )


def _legend(axis: Axes, largest: float) -> None:
    lines = [Line2D([], [], color=color, linewidth=3, label=NAMES[via]) for via, color in COLORS.items()]
    lines.append(Line2D([], [], color=style.QUIET, linewidth=WIDEST, label=f"effect {largest:.2f}"))
    axis.legend(
        handles=lines, fontsize=style.FONT - 1, frameon=False, ncol=5, loc="upper center", bbox_to_anchor=(0.5, 0.0)
    )
