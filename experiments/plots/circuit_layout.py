"""Where a circuit's nodes stand and how its paths run between them, in units of columns (heads) and rows (layers)."""

from collections.abc import Sequence
from itertools import product

import networkx as nx
import numpy as np
from jaxtyping import Float

# Columns from a target's middle at which its paths end.
PORTS = {"q": -0.13, "k": 0.0, "v": 0.13, "mlp": 0.0, "output": 0.0}
BENDS = (0.0, 0.4, -0.4, 0.9, -0.9, 1.8, -1.8, 3.0, -3.0)  # columns, of either end of a path
NODE_WIDTH, NODE_HEIGHT = 0.45, 0.24  # half of what a path keeps away from
INSIDE = 0.06  # rows from a node's middle at which paths begin and end: behind its box


def places(graph: nx.DiGraph) -> dict[str, tuple[float, float]]:
    """(column, row) of every node: layers upwards, single nodes in the middle."""
    by_level: dict[float, list[str]] = {}
    for node, level in levels(graph).items():
        by_level.setdefault(level, []).append(node)
    widest = max(map(len, by_level.values()))
    return {
        node: ((widest - len(by_level[level])) / 2 + number, float(row))
        for row, level in enumerate(sorted(by_level))
        for number, node in enumerate(by_level[level])
    }


def levels(graph: nx.DiGraph) -> dict[str, float]:
    """How far up every node is: its layer, and half a layer more of an MLP that reads heads of its own layer."""
    layer = {node: data["layer"] for node, data in graph.nodes(data=True)}
    return {
        node: at + 0.5 * any(layer[source] == at for source in graph.predecessors(node)) for node, at in layer.items()
    }


def route(
    start: tuple[float, float], end: tuple[float, float], via: str, others: Sequence[tuple[float, float]], columns: int
) -> Float[np.ndarray, "4 2"]:
    """The four points of a cubic Bezier curve, from above the start to the target's port: of all bends, those with
    which it runs over the fewest other nodes, and of these the smallest.
    """
    bottom, top = (start[0], start[1] + INSIDE), (end[0] + PORTS[via], end[1] - INSIDE)
    obstacles = np.array([place for place in others if place not in (start, end)]).reshape(-1, 2)
    bends = sorted(product(BENDS, BENDS), key=lambda bend: abs(bend[0]) + abs(bend[1]))
    curves = [_curve(bottom, top, *bend) for bend in bends]
    return curves[int(np.argmin([_touched(curve, obstacles, columns) for curve in curves]))]


def _curve(bottom: tuple[float, float], top: tuple[float, float], first: float, last: float) -> np.ndarray:
    """Leaves upwards, or to a side by a bend, and arrives from below."""
    rise = (top[1] - bottom[1]) / 3
    return np.array([bottom, (bottom[0] + first, bottom[1] + rise), (top[0] + last, top[1] - rise), top])


def _touched(curve: Float[np.ndarray, "4 2"], obstacles: Float[np.ndarray, "node 2"], columns: int) -> int:
    """How many nodes the curve runs over; leaving the picture counts as one."""
    t = np.linspace(0, 1, 60)[:, None]
    a, b, c, d = curve
    along = (1 - t) ** 3 * a + 3 * t * (1 - t) ** 2 * b + 3 * t**2 * (1 - t) * c + t**3 * d
    near = np.abs(along[:, None] - obstacles) < (NODE_WIDTH, NODE_HEIGHT)
    left = along[:, 0].min() < -0.5 or along[:, 0].max() > columns - 0.5
    return int(near.all(-1).any(0).sum()) + int(left)
