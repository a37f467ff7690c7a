"""The table of claims: what a run does not allow is not testable, a bug is no verdict; and the committed sweep."""

import logging

import numpy as np
import pytest
import xarray as xr

from ablations.not_measurable import NotMeasurable
from experiments.claims import specialisation, table
from experiments.results import committed
from experiments.storage import store
from experiments.study.study import Study


def test_the_sweep_is_read_for_its_own_key_only(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(committed, "FOLDER", tmp_path)
    key = {"kind": "swept_rllc", "run": "one", "step": 10, "weights": ["ab"], "plan": {"llc": {"nbeta": 30.0}}}
    values = xr.Dataset(
        {"value": (("step",), [1.0]), "trace_loss": (("step", "draw"), np.ones((1, 5)))}, {"step": [10]}
    )
    path = committed.write(key, committed.without_traces(values))
    assert path.is_relative_to(tmp_path)
    found = committed.read(key)
    assert found is not None
    assert list(found.data_vars) == ["value"]
    for changed in ({"weights": ["cd"]}, {"plan": {"llc": {"nbeta": 10.0}}}, {"kind": "swept_full"}):
        assert committed.read(key | changed) is None
    assert store.read(tmp_path, key) is not None


def test_a_claim_that_cannot_be_measured_says_why(monkeypatch, caplog) -> None:
    def refuse(study: object) -> None:
        raise NotMeasurable("no text is left")

    monkeypatch.setattr(table, "FINDERS", {specialisation.RISE: refuse})
    with caplog.at_level(logging.WARNING):
        (found,) = table.find_all(Study(()))
    assert (found.claim.label, found.verdict) == ("5a", "not testable")
    assert "no text is left" in found.diagnosis
    assert "specialisation" in table.as_text([found])


def test_a_bug_in_a_claim_is_no_verdict(monkeypatch) -> None:
    def fail(study: object) -> None:
        np.concatenate([np.zeros(2), np.zeros((2, 2))])

    monkeypatch.setattr(table, "FINDERS", {specialisation.RISE: fail})
    with pytest.raises(ValueError, match="all the input arrays"):
        table.find_all(Study(()))
