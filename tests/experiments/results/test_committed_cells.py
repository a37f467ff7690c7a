"""What is committed is read by every command, whole or cell by cell, and is not measured again."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import xarray as xr

from experiments import figures, runs
from experiments.figures import traces
from experiments.investigate.investigation import Investigation
from experiments.jobs import executors
from experiments.measurements import variants
from experiments.measurements.rllc import RLLC
from experiments.results import committed
from experiments.results.cells import Cells
from experiments.results.kind import Kind, Parameters


@pytest.fixture(scope="module")
def swept(small: None, trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cells]:
    """Cells of the tiny run, whose learning coefficients at the first and the last checkpoint are committed too."""
    folder = tmp_path_factory.mktemp("swept")
    run = runs.open_run(trained / "runs/tiny-seed0")
    made = Investigation(run, out=folder / "made").snapshot.cells
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(committed, "FOLDER", folder / "committed")
        variants.in_way(made, variants.MAIN).commit(RLLC)
        yield replace(made, committed=False)


@pytest.fixture(scope="module")
def mixed(swept: Cells, tmp_path_factory: pytest.TempPathFactory) -> Cells:
    """Another folder, in which one more checkpoint was measured by a plan that takes three."""
    cells = fresh(swept, tmp_path_factory.mktemp("mixed")).planned(llc_checkpoints=3)
    cells.table(RLLC)
    return cells


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The kinds and checkpoints of all cells that are measured from now on."""
    names: list[str] = []
    measure = Cells.measure

    def watched(cells: Cells, kind: Kind, step: int | None, parameters: Parameters) -> None:
        names.append(f"{kind.name} {step}")
        measure(cells, kind, step, parameters)

    monkeypatch.setattr(Cells, "measure", watched)
    return names


def fresh(cells: Cells, folder: Path) -> Cells:
    """The same with nothing measured yet, as commands open it."""
    return replace(cells, folder=folder, committed=True)


def steps_of(cells: Cells) -> set[int]:
    """The checkpoints that are left to sample."""
    return {job.arguments[4] for job in cells.missing_tables([RLLC])}


def test_a_cell_is_read_out_of_a_table_of_other_checkpoints(swept: Cells, tmp_path: Path) -> None:
    cells = fresh(swept, tmp_path)
    values = []
    for step, name in ((0, "L0H0"), (60, "L0H0"), (60, "L1H3")):
        made, found = (one.read(RLLC, step, restriction=name) for one in (swept, cells))
        assert made is not None and found is not None
        xr.testing.assert_equal(found, committed.without_traces(made))
        assert found.attrs["restriction"] == name and found.attrs["settings"] == made.attrs["settings"]
        values.append(float(found.value))
    assert len(set(values)) == 3, "negative control: other checkpoints and heads are others"
    assert cells.read(RLLC, 30, restriction="L0H0") is None
    for changes in ({"seed": 1}, {"gauge": "balanced"}, {"reference": "last"}, {"sampler": "sgld-cv"}):
        assert cells.planned(**changes).read(RLLC, 60, restriction="L0H0") is None, "another measurement"


def test_only_what_is_not_committed_is_left_to_measure(swept: Cells, tmp_path: Path) -> None:
    cells = fresh(swept, tmp_path)
    assert steps_of(cells) == {10, 30} and steps_of(replace(cells, committed=False)) == {0, 10, 30, 60}
    table = cells.assembled(RLLC)
    assert table.step.values.tolist() == [0, 10, 30, 60]
    assert table.value.isnull().all("restriction").values.tolist() == [False, True, True, False]


def test_a_table_of_committed_and_measured_cells(swept: Cells, mixed: Cells) -> None:
    table = mixed.table(RLLC)
    (between,) = set(table.step.values.tolist()) - {0, 60}
    files = {path.name.split("_")[1] for path in (mixed.folder / "cells").iterdir()}
    assert files == {str(between)}, "the others are read"
    assert not [name for name in table.data_vars if str(name).startswith("trace_")]
    assert table.value.notnull().all()
    own = swept.planned(llc_checkpoints=2).assembled(RLLC)[list(table.data_vars)]
    xr.testing.assert_equal(table.sel(step=[0, 60]), own.drop_vars("draw", errors="ignore"))


def test_figures_of_chains_sample_the_last_checkpoint_alone(
    swept: Cells, tmp_path: Path, measured: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs: list = []
    monkeypatch.setattr(traces.runner, "run", lambda listed, executor, description: jobs.extend(listed))
    traces.prepare(fresh(swept, tmp_path), executors.Here())
    assert {job.arguments[4] for job in jobs} == {60}
    jobs.clear()
    traces.prepare(fresh(swept, swept.folder), executors.Here())
    assert jobs == [] and figures.get("traces").NEEDS == ()
    assert traces.compute(fresh(swept, swept.folder)).sizes["restriction"] == 8
    assert measured == []


def test_a_card_shows_what_the_main_job_has_measured(
    swept: Cells, mixed: Cells, tmp_path: Path, measured: list[str]
) -> None:
    assert Investigation(swept.run, out=tmp_path)["L1H2"].rllc.step.values.tolist() == [0, 60]
    after = Investigation(swept.run, out=mixed.folder)
    card = after["L1H2"]
    assert card.rllc.step.values.tolist() == mixed.steps(RLLC) and card.rllc.value.notnull().all()
    assert measured == []
