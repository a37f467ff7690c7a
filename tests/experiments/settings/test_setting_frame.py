"""The common frame of the settings: parts that are kept, tables that tell agreement from disagreement, the verb."""

import math
from pathlib import Path
from types import ModuleType

import pytest
import torch
from matplotlib.figure import Figure

from experiments import settings
from experiments.__main__ import main
from experiments.plots import style
from experiments.settings import Entry, files, parts, table
from experiments.settings.parts import Part, Place
from experiments.settings.table import Row

CPU = torch.device("cpu")
TWO = Row("half of four", 2, "arithmetic", 2.1, 1.9, 2.3)


def test_a_part_is_done_once_and_goes_on_after_an_interruption(tmp_path: Path) -> None:
    done: list[str] = []

    def one(place: Place, name: str, fails: bool = False) -> dict:
        done.append(name)
        if fails:
            raise KeyboardInterrupt
        return {"value": len(done)}

    def both(fails: bool) -> list[Part]:
        return [
            Part("seed 0", 1, lambda place: one(place, "seed 0")),
            Part("seed 1", 1, lambda place: one(place, "seed 1", fails)),
        ]

    with pytest.raises(KeyboardInterrupt):
        parts.measure("toy", both(True), tmp_path, CPU)
    assert not (tmp_path / "toy.json").exists()
    measured = parts.measure("toy", both(False), tmp_path, CPU)
    assert done == ["seed 0", "seed 1", "seed 1"]
    assert measured == {"seed 0": {"value": 1}, "seed 1": {"value": 3}}
    assert parts.measure("toy", both(True), tmp_path, CPU) == measured and len(done) == 3


@pytest.mark.parametrize(
    ("row", "verdict"),
    [
        (TWO, "agrees"),
        (TWO._replace(expected=2.4), "DISAGREES"),
        (TWO._replace(expected=(1.0, math.inf)), "agrees"),
        (TWO._replace(expected=(2.0, math.inf)), "DISAGREES"),  # the interval reaches below
        (TWO._replace(measured=math.nan, low=math.nan, high=math.nan), "DISAGREES"),
        (TWO._replace(control=True), "control FIRES"),
        (TWO._replace(control=True, expected=3), "control quiet"),
    ],
)
def test_a_row_agrees_where_its_interval_says_so(row: Row, verdict: str) -> None:
    assert row.verdict == verdict
    assert verdict in table.text([row]) and list(table.frame([row]).verdict) == [verdict]


def toy() -> ModuleType:
    def draw(given: dict) -> Figure:
        figure = style.new_figure(2.0, 1.0)
        figure.subplots().plot(given["values"])
        return figure

    module = ModuleType("toy")
    vars(module).update(rows=lambda given: [TWO._replace(measured=given["values"][0])], draw=draw, CAPTION="A line.")
    return module


def test_table_and_figure_are_files(tmp_path: Path) -> None:
    text, paths = files.write("toy", toy(), {"values": [2.2, 3.0]}, tmp_path)
    assert [path.name for path in paths] == ["toy.csv", "toy.svg", "toy.png"] and all(p.stat().st_size for p in paths)
    assert "2.2" in text and "arithmetic" in text and "2.2" in paths[0].read_text()


def test_the_verb_lists_settings_and_refuses_others_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(settings.SETTINGS, "toy", Entry("toy", "a line on it"))
    assert main(["setting"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(settings.SETTINGS) and any("toy" in line and "a line on it" in line for line in lines)
    assert main(["setting", "nonsense"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: unknown setting 'nonsense': choose one of ") and said.count("\n") == 1


def test_every_setting_tells_its_table_from_what_is_committed() -> None:
    """Each has a law that is stated with its source, and a negative control that stays quiet."""
    assert {path.stem for path in settings.MEASURED.glob("*.json")} == {*settings.SETTINGS}
    for name in settings.SETTINGS:
        setting = settings.get(name)
        measured = parts.read_json(settings.MEASURED / f"{name}.json")
        assert set(measured) == {part.name for part in setting.parts()}, name
        rows = setting.rows(measured)
        assert all(row.source and row.low <= row.measured <= row.high for row in rows), name
        assert all(row.note for row in rows if row.verdict == "DISAGREES"), f"{name}: a disagreement is explained"
        controls = [row.verdict for row in rows if row.control]
        assert controls and set(controls) == {"control quiet"}, name
        assert any(not row.control for row in rows) and setting.CAPTION, name
        assert setting.draw(measured).axes, name
        assert (settings.MEASURED / f"{name}.json").stat().st_size < 300_000, f"{name}: kilobytes, not more"
