"""Runs and texts that do not allow a claim: it is not testable and says why."""

from pathlib import Path

import pytest

from experiments import runs
from experiments.claims import composition, coordination, induction_circuit, migration, nested_brackets, table
from experiments.results import plan
from experiments.results.cells import Cells
from experiments.study.study import Study


def test_claims_of_two_layers_are_not_testable_on_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    of_two_layers = (coordination, nested_brackets, composition, migration, induction_circuit)
    finders = {claim: finder for module in of_two_layers for claim, finder in module.FINDERS.items()}
    monkeypatch.setattr(table, "FINDERS", finders)
    cells = Cells(tmp_path, runs.open_run("mini-seed0-1layer"), plan.default_plan("python", 256))
    findings = table.find_all(Study((cells,)))
    assert [finding.claim.number for finding in findings] == [7, 8, 9, 10, 11]
    for finding in findings:
        assert finding.verdict == "not testable"
        assert "run mini-seed0-1layer has one layer" in finding.diagnosis
    assert not list(tmp_path.iterdir())  # nothing was measured for it
