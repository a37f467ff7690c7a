"""Of the bundled runs nothing is measured that is committed, whichever command asks."""

from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import pytest

from experiments.cli.opening import open_cells
from experiments.heldout import head_types
from experiments.investigate.investigation import Investigation
from experiments.measurements import variants
from experiments.measurements.curvature import CURVATURE
from experiments.measurements.rllc import RLLC
from experiments.results import committed
from experiments.results.cells import Cells
from experiments.results.inputs import Inputs
from experiments.results.plan import default_plan
from experiments.storage import store


@pytest.mark.parametrize(("name", "sampled"), [("mini-seed0", 9), ("mini-seed1", 0), ("mini-seed2", 0)])
def test_of_the_bundled_runs_nothing_is_measured_twice(
    name: str, sampled: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The main job, types and cards ask by their own plans; the texts are those of the committed tables."""
    types = sorted((committed.FOLDER / "cells").glob("types_*.safetensors"))
    texts = store.read_file(types[0])[0]["data"]
    monkeypatch.setattr(Inputs, "split", lambda inputs, split: Namespace(fingerprint=texts[split]))
    monkeypatch.setattr(Inputs, "corpus", None)
    monkeypatch.setattr(Inputs, "free_tokens", 2_000_000)
    monkeypatch.setattr(Cells, "measure", None)
    cells = open_cells(Namespace(run=name, corpus=None, out=tmp_path, seed=0))
    jobs = cells.missing_tables([RLLC])
    assert {job.arguments[4] for job in jobs} == {*cells.run.steps} - {*variants.few_steps(cells)}
    assert len(jobs) == 2 * sampled, "one for each layer"
    assert variants.at_few(cells).missing_tables([CURVATURE]) == []
    assert head_types.known(cells, head_types.pass_of_types(cells, cells.run.steps[-1])) is not None
    card = Investigation(name, out=tmp_path)["L1H4"]
    assert card.evidence.type.item() and card.layer_rllc.step.values.tolist() == variants.few_steps(cells)
    assert len(cells.planned(seed=1).missing_tables([RLLC])) == 2 * len(cells.run.steps), "negative control"


def test_the_main_job_and_the_sweep_differ_in_how_many_checkpoints_they_take() -> None:
    own = default_plan("python", 256)
    few = variants.ways(own)[variants.MAIN]
    assert replace(few, llc_checkpoints=own.llc_checkpoints) == own
    assert "llc_checkpoints" not in RLLC.plan_fields
