"""From where to where paths of a circuit go: the cell has what `circuits.positions` says, the page its strongest."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ablations.paths import parse_path
from circuits.positions import ANYWHERE, path_positions
from experiments.investigate.investigation import Investigation
from experiments.pages import circuit_files, circuit_positions
from experiments.tasks import path_effects, positions, stability, task_prompts

pytestmark = pytest.mark.usefixtures("small")
PATHS = [parse_path(name) for name in ("L0H1->L1H2.k", "embed->L0H0.v", "L1H2->output")]


@pytest.fixture(scope="module")
def circuit(small: None, trained: Path, tmp_path_factory: pytest.TempPathFactory):
    return Investigation(trained / "runs/tiny-seed0", out=tmp_path_factory.mktemp("positions") / "out").circuit(
        "induction"
    )


@pytest.fixture
def with_paths(circuit, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """A circuit with these paths: the tiny model has none."""
    monkeypatch.setattr(stability, "circuit", lambda cells, step, cfg, **asked: PATHS)
    inv = Investigation(circuit.snapshot.cells.run, out=tmp_path / "out")
    return inv.circuit("induction")


def test_the_frame_has_what_positions_say_the_largest_first(with_paths) -> None:
    cells, step = with_paths.snapshot.cells, with_paths.snapshot.step
    frame = with_paths.positions
    task = task_prompts.task("induction", cells)
    expected = path_positions(cells.inputs.model(step), task, PATHS).to_dataframe()
    both = [rows.set_index(["path", "written", "read"]).sort_index() for rows in (frame, expected)]
    pd.testing.assert_frame_equal(both[0][list(both[1])], both[1], check_dtype=False, rtol=1e-6)
    assert frame.effect.abs().is_monotonic_decreasing
    effects = path_effects.table(cells, "induction", [step]).isel(step=0).effect
    assert frame.of_path.to_numpy() == pytest.approx(effects.sel(path=frame.path.to_list()).values)
    assert set(frame[frame.path == "L1H2->output"].written) == set(frame.written)
    unread = frame[(frame.path == "L1H2->output") & (frame.written != "last token")]
    assert len(unread) and (unread.effect == 0).all()  # the answer is read at the last token


def test_the_page_has_the_section_and_the_table_all_rows(with_paths) -> None:
    cells = with_paths.snapshot.cells
    written = {path.name: path for path in circuit_files.write(cells, with_paths.found, 3)}
    page, table = (written[f"circuit_induction_60{end}"] for end in (".html", "_positions.csv"))
    shown = circuit_positions.strongest(with_paths.positions, 3)
    text = page.read_text()
    assert ">From where to where</h2>" in text and f"{shown.effect.iloc[0]:.2f} ± " in text
    pd.testing.assert_frame_equal(pd.read_csv(table), with_paths.positions, check_dtype=False, rtol=1e-4)


def test_without_paths_there_are_no_rows(circuit) -> None:
    assert not circuit.found.table.found.any()
    assert list(circuit.positions) == list(positions.COLUMNS) and len(circuit.positions) == 0
    assert circuit_positions.sections(circuit.positions, 3) == []
    assert circuit_positions.as_text(circuit.positions, 3) == ""


def test_the_page_and_the_terminal_show_the_strongest() -> None:
    numbers = {"se": 0.1, "half_width": 0.2, "p": 0.01, "prompts": 64, "of_path": -3.5}
    rows = [
        {"path": "L0H1->L1H2.k", "written": "token <after>", "read": ANYWHERE, "effect": -3.0} | numbers,
        {"path": "L0H1->L1H2.k", "written": "token <after>", "read": "last token", "effect": -2.0} | numbers,
        {"path": "L1H2->output", "written": "last token", "read": "last token", "effect": np.pi / 2} | numbers,
        {"path": "L1H3->output", "written": "last token", "read": "last token", "effect": 0.5} | numbers,
    ]
    frame = pd.DataFrame(rows)[list(positions.COLUMNS)]
    (section,) = circuit_positions.sections(frame, 2)
    html = section.body
    assert html.count("<tr>") == 1 + 2 and "token &lt;after&gt;" in html and "L1H3" not in html
    assert "-2.00 ± 0.20" in html and "-3.00" not in html and "1.57 ± 0.20" in html and "-3.50" in html
    lines = circuit_positions.as_text(frame, 2).splitlines()
    assert len(lines) == 3 and lines[1].endswith("token <after> -> last token") and lines[2].endswith("  last token")
