"""Runs and texts that do not allow a claim: it is not testable and says why."""

from pathlib import Path

import numpy as np
import pytest

from ablations.not_measurable import NotMeasurable
from experiments import runs
from experiments.claims import composition, coordination, induction_circuit, nested_brackets, table
from experiments.claims.nested_brackets import Closers
from experiments.results import plan
from experiments.results.cells import Cells
from experiments.statistics.halves import random_half
from experiments.study.study import Study


def test_claims_of_two_layers_are_not_testable_on_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    of_two_layers = (coordination, nested_brackets, composition, induction_circuit)
    monkeypatch.setattr(table, "CLAIMS", of_two_layers)
    cells = Cells(tmp_path, runs.open_run("mini-seed0-1layer"), plan.default_plan("python", 256))
    findings = table.find_all(Study((cells,)))
    assert [finding.claim for finding in findings] == [claim.CLAIM for claim in of_two_layers]
    for finding in findings:
        assert finding.verdict == "not testable"
        assert "run mini-seed0-1layer has one layer" in finding.diagnosis
    assert not list(tmp_path.iterdir())  # nothing was measured for it


def closers() -> Closers:
    """40 documents of 10 closers, every other one nested, which no path matters to."""
    generator, document = np.random.default_rng(0), np.repeat(np.arange(40), 10)
    odds = generator.standard_normal((3, 3, 400))
    distance, pos = generator.integers(1, 9, (2, 400))
    return Closers("one", 0, ["L0H0->L1H0", "L0H1->L1H1"], odds, np.arange(400) % 2 == 0, document, distance, pos)


def test_halves_without_nested_closers_or_without_controls_cannot_be_compared() -> None:
    known = closers()
    chooses = random_half(known.document)
    assert nested_brackets.tested(known).path in known.paths
    for nested in (known.nested & chooses, known.nested & ~chooses, known.nested | chooses, known.nested | ~chooses):
        with pytest.raises(NotMeasurable, match="matching needs some of both"):
            nested_brackets.tested(known._replace(nested=nested))
    two = known._replace(document=known.document % 2)
    with pytest.raises(NotMeasurable, match="errors need two"):
        nested_brackets.tested(two)


def test_overlap_in_one_document_has_no_error() -> None:
    effect = np.random.default_rng(0).standard_normal((2, 2, 100))
    effects = coordination.Effects(
        "one", ["L0H0", "L1H0"], effect, np.ones((2, 100)), np.arange(100) % 3, np.zeros(100, dtype=np.int64)
    )
    with pytest.raises(NotMeasurable, match="a standard error needs at least two"):
        coordination.tested(effects)
    assert coordination.judge([effects]).verdict == "not testable"
