"""A circuit's graph: layers from the embedding up to the output, what was found in colour, everything else left out.

Where it is known how often a path is found on resampled prompts, one that seldom is is faint, and no part of the
circuit.

Paths that are drawn otherwise: those that hurt the task, those that act through the scale of a layer norm and are not
read, and those that lie on no way from the embedding to the output along found paths.
"""

import textwrap
from collections.abc import Mapping
from typing import Any

import networkx as nx
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import PathPatch
from matplotlib.path import Path

from ablations.paths import OUTPUT
from circuits.graph import records
from circuits.scale_part import through_scale
from circuits.ways import on_a_way
from experiments.plots import style
from experiments.plots.circuit_layout import levels, places, route
from experiments.plots.fonts import as_written

COLORS = {**style.VIA_COLORS, "mlp": "#56B4E9", "output": "#CC79A7"}
NAMES = {**style.VIA_NAMES, "mlp": "into an MLP", "output": "to the output"}
WIDEST = 7.0  # points, of the largest effect
SHOWN = 40  # paths: those with the largest effects
NAMED = 32  # heads and MLPs of a model that has so few are all named; of a larger one, those that take part
LINES: dict[str, Any] = {  # of paths that are drawn otherwise, by what they are; the first that holds
    "on no way from embed to output": (0, (3.0, 1.2, 1.0, 1.2)),
    "through the norm's scale": (0, (0.6, 1.0)),
    "hurts the task": (0, (3.0, 1.5)),
}
LARGEST = 14.0  # inches, of a side
NARROW = 6.5  # inches: a legend has fewer columns in what is narrower
FAINTEST = 0.15  # opacity of a path that is found on no resample of the prompts, where that is known


def draw(graph: nx.DiGraph, title: str) -> Figure:
    """Nodes are all that the model has; of the paths that were found, the 40 with the largest effects."""
    columns, rows = _extent(graph)
    figure = style.new_figure(min(LARGEST, 1.05 * columns + 1.2), min(LARGEST, 1.2 * rows + 1.2))
    axis = figure.subplots()
    largest = _largest([graph])
    _panel(axis, graph, largest, typed=True)
    axis.set_title(title, fontsize=style.FONT + 1, **as_written(title))
    _legend(figure, [graph], largest)
    return figure


def draw_formation(graphs: Mapping[str, nx.DiGraph], title: str) -> Figure:
    """Small multiples, in the order given and under these names; widths of paths compare between them."""
    across = min(2, len(graphs))
    down = -(-len(graphs) // across)
    columns, rows = _extent(next(iter(graphs.values())))
    figure = style.new_figure(min(LARGEST, across * (0.52 * columns + 0.3)), min(LARGEST, down * (0.75 * rows + 0.5)))
    axes = figure.subplots(down, across, squeeze=False).ravel()
    largest = _largest(list(graphs.values()))
    for axis, (name, graph) in zip(axes, graphs.items(), strict=False):
        _panel(axis, graph, largest, typed=False)
        axis.set_title(name, fontsize=style.FONT, **as_written(name))
    for axis in axes[len(graphs) :]:
        axis.axis("off")
    figure.suptitle(title, fontsize=style.FONT + 1, **as_written(title))
    _legend(figure, list(graphs.values()), largest)
    return figure


def _panel(axis: Axes, graph: nx.DiGraph, largest: float, typed: bool) -> None:
    at, paths, (columns, rows) = places(graph), _ranked(graph)[:SHOWN], _extent(graph)
    apart = _apart(graph)
    used = {node for source, target, *_ in paths for node in (source, target)}
    for source, target, via, record in reversed(paths):
        share = abs(record["effect"]) / largest
        curve = route(at[source], at[target], via, [at[node] for node in used], columns)
        path = Path(curve, [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4])
        width = max(0.9, WIDEST * share)
        alpha = FAINTEST + (0.95 - FAINTEST) * record["frequency"] if "frequency" in record else 0.5 + 0.45 * share
        line = LINES[apart[source, target, via]] if (source, target, via) in apart else "solid"
        axis.add_patch(PathPatch(path, fill=False, ec=COLORS[via], lw=width, ls=line, alpha=alpha, zorder=2 + share))
    few = len(at) - 2 <= NAMED
    size = style.FONT if typed else style.FONT - 2
    for node, (x, y) in at.items():
        if node in used or node in ("embed", OUTPUT):
            kind = graph.nodes[node].get("type") if typed else None
            text = "\n".join([node, *textwrap.wrap(kind or "", 12, break_long_words=False)])
            box = {"boxstyle": "round,pad=0.3", "fc": "white", "ec": "black", "lw": 1.0}
            axis.text(x, y, text, ha="center", va="center", fontsize=size, zorder=5, bbox=box)
        elif few:
            axis.text(x, y, node, ha="center", va="center", fontsize=size - 1, color="#767676", zorder=1)
        else:
            axis.plot(x, y, "o", color=style.QUIET, markersize=3.5, zorder=1)
    axis.set_xlim(-0.6, columns - 0.4)
    axis.set_ylim(-0.4, rows - 0.6)
    axis.axis("off")


def _extent(graph: nx.DiGraph) -> tuple[int, int]:
    """Columns and rows."""
    heights = [*levels(graph).values()]
    return max(map(heights.count, heights)), len(set(heights))


def _ranked(graph: nx.DiGraph) -> list[tuple[str, str, str, dict]]:
    """The paths that were found on all prompts, whether again on others or not, the largest effect first."""
    shown = (path for path in records(graph) if path[3].get("passed", path[3]["found"]))
    return sorted(shown, key=lambda path: -abs(path[3]["effect"]))


def _largest(graphs: list[nx.DiGraph]) -> float:
    return max((abs(record["effect"]) for graph in graphs for *_, record in _ranked(graph)), default=1.0)


def _apart(graph: nx.DiGraph) -> dict[tuple[str, str, str], str]:
    """The paths that are drawn otherwise than others, and the name of their lines: the first of `LINES` that holds."""
    on_way, apart = on_a_way(graph), {}
    for source, target, via, record in (path for path in _ranked(graph)[:SHOWN] if path[3]["found"]):
        astray = (source, target, via) not in on_way
        holds = (astray, through_scale(record), record["effect"] > 0)
        if any(holds):
            apart[source, target, via] = [*LINES][holds.index(True)]
    return apart


def _legend(figure: Figure, graphs: list[nx.DiGraph], largest: float) -> None:
    apart = {remark for graph in graphs for remark in _apart(graph).values()}
    vias = {via for graph in graphs for _, _, via, _ in records(graph)} | {*COLORS} - {"mlp"}
    lines = [Line2D([], [], color=color, linewidth=3, label=NAMES[via]) for via, color in COLORS.items() if via in vias]
    lines.append(Line2D([], [], color=style.QUIET, linewidth=WIDEST, label=f"effect {largest:.2f} in logits"))
    for name in (name for name in LINES if name in apart):
        lines.append(Line2D([], [], color=style.QUIET, linewidth=2, linestyle=LINES[name], label=name))
    columns = 3 if figure.get_figwidth() < NARROW else 5 if len(lines) < 6 else 4
    figure.legend(handles=lines, fontsize=style.FONT - 1, frameon=False, ncol=columns, loc="outside lower center")
