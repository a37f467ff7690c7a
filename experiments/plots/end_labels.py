"""The name of every curve at its end, in the curve's colour, moved apart from others: no legend is needed."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.lines import Line2D
from scipy.optimize import isotonic_regression

from experiments.plots import style

SIZE = style.FONT - 1  # points
LINE = 1.35  # sizes of the font from one label to the next
POINTS = 72  # of an inch
SMALLER = 0.85  # what titles and ticks leave of an axis at least, as long as nobody has laid it out


def write(axis: Axes) -> None:
    """Writes them to the right of the axis. Call it last: limits of the axis hold from here on.

    Curves are those that have a label, drawn by `plot` or `errorbar`; one without a finite value gets none.
    """
    ends = [(line, *points[-1].tolist()) for line in _labelled(axis) if len(points := _points(line))]
    bottom, top = axis.get_ylim()
    height = POINTS * SMALLER * axis.bbox.height / axis.figure.dpi
    shares = np.array([(y - bottom) / (top - bottom) for _, _, y in ends])
    for (line, x, y), share in zip(ends, moved_apart(shares, LINE * SIZE / height), strict=True):
        axis.annotate(
            str(line.get_label()),
            xy=(x, y),
            xytext=(1.02, share),
            textcoords="axes fraction",
            va="center",
            fontsize=SIZE,
            color=line.get_color(),
            fontweight="bold",
            arrowprops={"arrowstyle": "-", "color": line.get_color(), "lw": 0.6, "shrinkA": 1, "shrinkB": 3},
        )
    axis.set_ylim(bottom, top)


def moved_apart(places: Float[np.ndarray, " label"] | Sequence[float], gap: float) -> Float[np.ndarray, " label"]:
    """Places with at least a gap between each two, in the same order, inside 0 to 1 where there is room.

    Of all such places those with the least sum of squared moves: isotonic regression of the places less their rank's
    gap (Best and Chakravarti 1990, Mathematical Programming 47).
    """
    given = np.asarray(places, float)
    if not len(given):
        return given
    order = np.argsort(given, kind="stable")
    offsets = gap * np.arange(len(given))
    slid = isotonic_regression(given[order] - offsets).x
    moved = np.empty_like(given)
    moved[order] = np.clip(slid, 0.0, max(0.0, 1.0 - offsets[-1])) + offsets
    return moved


def _labelled(axis: Axes) -> list[Line2D]:
    """The lines that have a label, by themselves or as the middle of bars."""
    bars = [each for each in axis.containers if isinstance(each, ErrorbarContainer)]
    of_bars = {id(each.lines[0]): str(each.get_label()) for each in bars}
    found = []
    for line in axis.get_lines():
        label = of_bars.get(id(line), str(line.get_label()))
        if not label.startswith("_"):
            line.set_label(label)
            found.append(line)
    return found


def _points(line: Line2D) -> Float[np.ndarray, "point 2"]:
    """Those of its points that are numbers, as (x, y)."""
    points = np.stack([np.asarray(of, float) for of in (line.get_xdata(), line.get_ydata())], axis=1)
    return points[np.isfinite(points).all(1)]
