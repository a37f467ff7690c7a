"""A measurement reads nothing of the plan and of the text but what its record names: else stale cells would be read."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from experiments.measurements.curvature import CURVATURE
from experiments.measurements.full_llc import FULL_LLC
from experiments.measurements.kinds import MAIN_JOB
from experiments.measurements.rllc import RLLC
from experiments.measurements.scores import SCORES
from experiments.results.cells import Cells
from experiments.results.inputs import Inputs
from experiments.results.kind import Kind
from experiments.results.plan import Plan, default_plan
from experiments.runs.run import Run, open_run
from tests.experiments.conftest import FEWER

KINDS = (*MAIN_JOB, FULL_LLC, CURVATURE)
FIELDS = frozenset(field.name for field in fields(Plan))
# In keys, but not by the fields of a record: the text, by the content of its splits, and what RLLC.also adds.
OTHERWISE_IN_KEYS = {"corpus"}
OF_RLLCS = {"reference", "gauge", "sampler"}


class Watched(Plan):
    """A plan that notes which of its fields are read, but for those that keys read to choose from."""

    noted: set[str]

    def __getattribute__(self, name: str) -> Any:
        if name in FIELDS and "noted" in object.__getattribute__(self, "__dict__"):
            self.noted.add(name)
        return object.__getattribute__(self, name)

    def record(self) -> dict:
        before = {*self.__dict__.get("noted", ())}
        record = super().record()
        if "noted" in self.__dict__:
            object.__setattr__(self, "noted", before)
        return record


def reads(kind: Kind, run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[set[str], set[str]]:
    """The fields of the plan and the splits of the text that are read while a kind is measured."""
    small = replace(default_plan(run.config["preset"]["corpus"], 64), **FEWER, llc_checkpoints=1)
    plan, splits = Watched(**{name: getattr(small, name) for name in FIELDS}), set()
    object.__setattr__(plan, "noted", set())
    of_run = Run.corpus

    def noting(run: Run, split: str, name: str | None = None) -> Any:
        splits.add(split)
        return of_run(run, split, name)

    monkeypatch.setattr(Run, "corpus", noting)
    restrictions = {"restrictions": ["L0H1"]} if kind.groups else {}
    kind.compute(Inputs(run, plan), run.steps[-1], Cells(folder, run, plan), **restrictions)
    return {*plan.__dict__["noted"]} - OTHERWISE_IN_KEYS - (OF_RLLCS if kind is RLLC else set()), splits


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_measurement_reads_what_its_record_names(kind: Kind, trained: Path, tmp_path: Path, monkeypatch) -> None:
    run = open_run(trained / "runs/tiny-seed0")
    assert reads(kind, run, tmp_path, monkeypatch) == ({*kind.plan_fields}, {*kind.splits})


def test_negative_control_a_field_that_is_not_named_is_found(trained: Path, tmp_path: Path, monkeypatch) -> None:
    run = open_run(trained / "runs/tiny-seed0")
    fewer = replace(SCORES, plan_fields=SCORES.plan_fields[1:], splits=())
    assert reads(fewer, run, tmp_path, monkeypatch) != ({*fewer.plan_fields}, {*fewer.splits})
