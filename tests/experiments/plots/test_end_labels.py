"""Curves over training: heads that are named stand out, with labels at their ends that do not overlap."""

import numpy as np
import pytest
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text

from experiments.plots import end_labels, head_curve, style


def brute_force(places: list[float], gap: float) -> np.ndarray:
    """Least squares over sorted places on a fine grid, by dynamic programming."""
    grid = np.linspace(0, 1, 1001)
    steps = round(gap / (grid[1] - grid[0]))
    cost, back = (grid - places[0]) ** 2, []
    for place in places[1:]:
        best = np.minimum.accumulate(cost)
        at = np.maximum.accumulate(np.where(cost == best, np.arange(len(grid)), 0))
        moved = np.full(len(grid), np.inf)
        moved[steps:] = best[: len(grid) - steps] + (grid[steps:] - place) ** 2
        back.append(at)
        cost = moved
    ends = [int(np.argmin(cost))]
    for at in reversed(back):
        ends.append(int(at[ends[-1] - steps]))
    return grid[ends[::-1]]


@pytest.mark.parametrize("seed", range(6))
def test_places_are_moved_as_little_as_the_gap_allows(seed: int) -> None:
    places = np.sort(np.random.default_rng(seed).uniform(0.3, 0.6, 5)).round(3)
    assert np.allclose(end_labels.moved_apart(places, 0.1), brute_force(places.tolist(), 0.1), atol=2e-3)


def test_labels_that_have_room_stay_and_order_is_kept() -> None:
    assert np.allclose(end_labels.moved_apart([0.9, 0.1, 0.5], 0.1), [0.9, 0.1, 0.5])
    moved = end_labels.moved_apart([0.5, 0.49, 0.51], 0.2)
    assert np.allclose(moved, [0.5, 0.3, 0.7])
    assert np.allclose(end_labels.moved_apart([1.2, 1.2], 0.25), [0.75, 1.0]), "inside the axis"
    assert end_labels.moved_apart([], 0.1).shape == (0,)


def table(heads: int, steps: int, close: float = 1e-3) -> xr.Dataset:
    """Curves of layer 1 that end within `close` of each other."""
    values = 1 + np.linspace(0, 1, steps)[:, None] + close * np.arange(heads)
    coords = {"step": np.arange(steps), "restriction": [f"L1H{head}" for head in range(heads)]}
    data = {"value": (("step", "restriction"), values), "half_width": (("step", "restriction"), values / 10)}
    return xr.Dataset(data, coords).assign_coords(tokens=("step", 2.0 ** np.arange(steps)))


def drawn(figure: Figure) -> FigureCanvasAgg:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return canvas


def overlaps(figure: Figure) -> int:
    renderer = drawn(figure).get_renderer()
    boxes = [Text.get_window_extent(text, renderer) for text in figure.axes[0].texts]  # without its line to the curve
    assert all(box.x0 >= 0 and box.x1 <= figure.bbox.x1 for box in boxes), "inside the picture"
    return sum(one.overlaps(other) for number, one in enumerate(boxes) for other in boxes[:number])


def test_labels_at_the_ends_of_close_curves_do_not_overlap() -> None:
    rllc = table(8, 6)
    named = [f"L1H{head}" for head in range(1, 6)]
    figure = head_curve.draw(rllc, "L1H0", 5, "QUICK settings", named)
    assert [text.get_text() for text in figure.axes[0].texts] == ["L1H0", *named]
    assert overlaps(figure) == 0 and figure.axes[0].get_legend() is None
    for text in figure.axes[0].texts:  # negative control: all where their curves end
        text.set_position((1.02, 0.9))
    assert overlaps(figure) == 15


def heads_of(axis: Axes) -> dict[bool, list]:
    """The curves that are named, and those that are not, as containers of bars."""
    return {
        named: [c for c in axis.containers if str(c.get_label()).startswith("L") == named] for named in (True, False)
    }


def luminance(color: str) -> float:
    """How bright a colour is in a grey print, from 0 to 1 (ITU-R BT.601)."""
    return float(np.dot(to_rgb(color), (0.299, 0.587, 0.114)))


def test_named_heads_stand_out_in_colour_and_in_grey() -> None:
    figure = head_curve.draw(table(8, 6), "L1H2", 5, "QUICK settings", ["L1H4"])
    curves = heads_of(figure.axes[0])
    assert len(curves[True]) == 2 and len(curves[False]) == 6
    assert {c.lines[0].get_color() for c in curves[False]} == {style.QUIET}
    assert all(len(c.lines[2]) for c in figure.axes[0].containers), "all have bars"
    assert len({c.lines[0].get_marker() for c in curves[True]}) == 2
    assert all(luminance(color) < luminance(style.QUIET) - 0.2 for color in style.DARK)
    assert luminance(style.COLORS[4]) > luminance(style.QUIET) - 0.2, "control: a colour that would be lost in print"


def test_the_heads_of_the_circuit_are_named_by_their_role() -> None:
    attrs = {"previous": "L0H5", "induction": "L1H4+L1H6"}
    names = [f"L1H{head}" for head in range(8)]
    assert style.named_by_role(names, attrs) == {"L1H4": "L1H4 induction", "L1H6": "L1H6 induction"}
    assert style.named_by_role(["L0H5"], attrs) == {"L0H5": "L0H5 previous-token"}
    assert style.named_by_role(names, {"previous": "", "induction": ""}) == {}


def test_a_curve_without_a_number_has_no_label_and_one_that_ends_early_has_it_there() -> None:
    rllc = table(3, 6, close=0.5)
    rllc.value[:, 1] = np.nan
    rllc.value[4:, 2] = np.nan
    axis = head_curve.draw(rllc, "L1H0", 5, "QUICK settings", ["L1H1", "L1H2"]).axes[0]
    ends = {text.get_text(): text.xy for text in axis.texts}
    assert ends["L1H2"] == (8.0, pytest.approx(1 + 3 / 5 + 1.0)) and set(ends) == {"L1H0", "L1H2"}


def test_one_checkpoint_alone_is_drawn_with_its_step() -> None:
    figure = head_curve.draw(table(4, 1), "L1H0", 0, "QUICK settings")
    assert [tick.get_text() for tick in figure.axes[0].get_xticklabels()] == ["step 0"] and overlaps(figure) == 0
