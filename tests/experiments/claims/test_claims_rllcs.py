"""Claims 5 and 6 on planted coefficients, the committed sweep, and the table: each with a control that must fail."""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from ablations.not_measurable import NotMeasurable
from experiments import runs
from experiments.claims import specialisation, table, transfer
from experiments.claims.specialisation import Heads
from experiments.measurements.variants import BALANCED, MAIN, RELATIVE
from experiments.results import committed, plan
from experiments.results.cells import Cells
from experiments.storage import store
from experiments.study.study import Study

STEPS = [0, 100, 400, 1600, 6400, 28000]
SURVIVES = {"recalibrated settings": "yes", "balanced gauge": "no"}


def curves(layer0: list[float], layer1: list[float], seed: int = 0) -> xr.Dataset:
    """Two chains of four heads a layer around these layer means, standard error 0.1."""
    generator = np.random.default_rng(seed)
    mean = np.stack([layer0] * 4 + [layer1] * 4, 1)
    value = mean + 0.1 * generator.standard_normal((2, len(STEPS), 8))
    names = [f"L{layer}H{head}" for layer in (0, 1) for head in range(4)]
    dims = ("chain", "step", "restriction")
    data = {"chain_value": (dims, value), "chain_se": (dims, np.full(value.shape, 0.1))}
    return xr.Dataset(data, {"step": STEPS, "restriction": names})


HEADS = (["L0H0", "L0H1", "L0H2"], ["L1H0", "L1H1", "L1H2"])


def test_a_planted_transfer_is_found_and_its_step_is_right() -> None:
    found = transfer.change(curves([1, 2, 4, 6, 4, 3], [1, 1, 2, 3, 4, 5]), HEADS, second=400)
    assert found.peak == 1600
    assert found.found
    assert not found.opposite
    assert abs(found.layer0 + 3) < 4 * found.layer0_se
    assert abs(found.layer1 - 2) < 4 * found.layer1_se


@pytest.mark.parametrize(
    ("layer0", "layer1", "second"),
    [
        ([1, 2, 3, 4, 5, 6], [1, 1, 2, 3, 4, 5], 400),  # no inner peak
        ([1, 6, 4, 3, 2, 1], [1, 1, 2, 3, 4, 5], 400),  # a peak before the second stage
        ([1, 2, 4, 6, 4, 3], [1, 1, 2, 5, 4, 3], 400),  # layer 1 falls too
        ([1, 2, 4, 4.02, 4, 4], [1, 1, 2, 3, 4, 5], 400),  # a peak within the noise
    ],
)
def test_curves_without_a_transfer_are_not_called_one(layer0: list[float], layer1: list[float], second: int) -> None:
    assert not transfer.change(curves(layer0, layer1), HEADS, second).found


def test_transfer_needs_the_relative_loss() -> None:
    there = transfer.change(curves([1, 2, 4, 6, 4, 3], [1, 1, 2, 3, 4, 5]), HEADS, 400)
    absent = transfer.change(curves([1, 2, 3, 4, 5, 6], [1, 1, 2, 3, 4, 5]), HEADS, 400)
    runs = ["one", "two"]
    found = transfer.judge(dict.fromkeys(runs, there), dict.fromkeys(runs, absent), runs, SURVIVES)
    assert found.verdict == "replicated"
    beside = transfer.judge(dict.fromkeys(runs, there), dict.fromkeys(runs, there), runs, SURVIVES)
    assert beside.verdict == "inconclusive"
    assert beside.controls[0].fired
    one_seed_less = transfer.judge({"one": there, "two": absent}, dict.fromkeys(runs, absent), runs, SURVIVES)
    assert one_seed_less.verdict == "inconclusive"
    assert transfer.judge({"one": there}, {"one": absent}, runs, SURVIVES).verdict == "not testable"


@dataclass(frozen=True)
class PlantedCells(Cells):
    def table(self, kind: str) -> xr.Dataset:
        scores = (("step", "restriction"), np.outer(np.arange(6.0), np.ones(8)))
        names = [f"L{layer}H{head}" for layer in (0, 1) for head in range(4)]
        coords = {"step": STEPS, "restriction": names, "layer": ("restriction", [0] * 4 + [1] * 4)}
        return xr.Dataset({"previous_token": scores}, coords)


@dataclass(frozen=True)
class PlantedStudy(Study):
    """A transfer against the one-layer model that is gone in the balanced gauge."""

    multigram: str

    def rllc(self, cells: Cells, way: str = MAIN) -> xr.Dataset:
        there = RELATIVE in way and BALANCED not in way
        return curves([1, 2, 4, 6, 4, 3] if there else [1, 2, 3, 4, 5, 6], [1, 1, 2, 3, 4, 5])

    def types(self, cells: Cells, step: int | None = None) -> xr.Dataset:
        names = [f"L{layer}H{head}" for layer in (0, 1) for head in range(4)]
        kinds = ["multigram" if name[:2] in self.multigram else "mixed" for name in names]
        return xr.Dataset({"type": ("restriction", kinds)}, {"restriction": names})


@pytest.mark.parametrize(
    ("multigram", "verdict", "survives"),
    [
        ("L0 L1", "replicated", {"recalibrated settings": "yes", "balanced gauge": "no"}),
        ("L1", "not testable", dict.fromkeys(SURVIVES, "not applicable")),
    ],
)
def test_transfer_is_asked_again_in_other_settings_and_gauges(
    multigram: str, verdict: str, survives: dict[str, str], tmp_path: Path
) -> None:
    run, chosen = runs.open_run("mini-seed0"), plan.default_plan("python", 256)
    found = transfer.find(PlantedStudy((PlantedCells(tmp_path, run, chosen),), multigram))
    assert found.verdict == verdict
    assert found.survives == survives


def test_a_layer_that_turns_the_other_way_contradicts_transfer() -> None:
    against = transfer.change(curves([1, 2, 4, 6, 4, 3], [1, 1, 2, 5, 4, 3]), HEADS, 400)
    found = transfer.judge({"one": against}, {"one": against}, ["one"], SURVIVES)
    assert found.verdict == "contradicted"


def test_the_second_stage_begins_with_a_tenth_of_the_previous_token_rise() -> None:
    scores = np.array([[0.02, 0.9], [0.05, 0.9], [0.06, 0.9], [0.40, 0.9]])
    table_ = xr.Dataset(
        {"previous_token": (("step", "restriction"), scores)},
        {"step": [0, 10, 20, 30], "restriction": ["L0H0", "L1H0"], "layer": ("restriction", [0, 1])},
    )
    assert transfer.second_stage(table_) == 20


def layer(run: str, code: list[float], induction: list[int], syntax: tuple[int, int] = (150, 40)) -> Heads:
    names = [f"L1H{head}" for head in range(8)]
    marks = np.isin(np.arange(8), induction)
    shares = {names[head]: (count, 200) for head, count in zip(induction, syntax, strict=False)}
    return Heads(run, names, marks, np.full(8, 3.0), 3.0 * np.array(code), shares)


PLANTED = [1.02, 0.99, 1.01, 1.0, 0.98, 1.03, 1.6, 2.4]


def test_a_planted_specialisation_is_found() -> None:
    found = specialisation.judge([layer("one", PLANTED, [6, 7]), layer("two", PLANTED[::-1], [0, 1])], SURVIVES)
    assert found.verdict == "replicated"
    assert found.p is not None and found.p < 0.05
    assert found.interval is not None and found.interval[0] > 0
    assert found.details["parting"]["value"] == pytest.approx(np.log(2.4 / 1.6))
    assert not found.controls[0].fired
    assert found.record()["details"]["by run"]["one"]["induction heads"] == ["L1H6", "L1H7"]


@pytest.mark.parametrize(
    ("code", "induction", "syntax", "verdict"),
    [
        (PLANTED, [2, 3], (150, 40), "contradicted"),  # other heads rise
        ([1.0] * 6 + [2.0, 2.0], [6, 7], (150, 40), "inconclusive"),  # the two rise together
        (PLANTED, [6, 7], (100, 99), "inconclusive"),  # no difference in syntax
        (PLANTED, [7], (150,), "not testable"),  # one induction head
    ],
)
def test_other_layers_do_not_specialise(code: list[float], induction: list[int], syntax: tuple, verdict: str) -> None:
    found = specialisation.judge([layer("one", code, induction, syntax)] * 2, SURVIVES)
    assert found.verdict == verdict


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

    monkeypatch.setattr(table, "CLAIMS", (specialisation,))
    monkeypatch.setattr(specialisation, "find", refuse)
    with caplog.at_level(logging.WARNING):
        (found,) = table.find_all(Study(()))
    assert (found.claim.number, found.verdict) == (5, "not testable")
    assert "no text is left" in found.diagnosis
    assert "specialisation" in table.as_text([found])


def test_a_bug_in_a_claim_is_no_verdict(monkeypatch) -> None:
    def fail(study: object) -> None:
        np.concatenate([np.zeros(2), np.zeros((2, 2))])

    monkeypatch.setattr(table, "CLAIMS", (specialisation,))
    monkeypatch.setattr(specialisation, "find", fail)
    with pytest.raises(ValueError, match="all the input arrays"):
        table.find_all(Study(()))
