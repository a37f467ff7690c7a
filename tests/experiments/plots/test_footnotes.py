"""Figures say below their parts where the intervals that they draw rest on few documents."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import xarray as xr
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from experiments import figures, runs
from experiments.figures import files
from experiments.plots import style
from experiments.results.cells import Cells
from experiments.results.plan import default_plan


def drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, degrees: float) -> Figure:
    """What `write_figure` draws of an effect whose error has these degrees of freedom."""
    data = xr.Dataset({"effect": 1.0, "effect_se": 0.1, "effect_degrees": degrees})
    made = style.new_figure(6.0, 3.0)
    made.subplots().plot([0, 1], [0, 1])
    module = SimpleNamespace(compute=lambda cells: data, draw=lambda data: made)
    monkeypatch.setattr(figures, "get", lambda name: module)
    files.write_figure(Cells(tmp_path, runs.open_run("mini-seed0"), default_plan("python", 64)), "paths")
    return made


def test_few_documents_are_told_below_the_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figure = drawn(tmp_path, monkeypatch, degrees=6.0)
    assert "as much as 7 documents" in figure.get_supxlabel().replace("\n", " ")
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    note = figure._supxlabel.get_window_extent(renderer)
    assert note.x1 <= figure.bbox.x1 and note.y0 >= figure.bbox.y0
    assert note.y1 <= figure.axes[0].get_tightbbox(renderer).y0, "below the axis and its labels"


def test_enough_documents_are_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert drawn(tmp_path, monkeypatch, degrees=40.0).get_supxlabel() == ""
