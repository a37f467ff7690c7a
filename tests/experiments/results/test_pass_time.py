"""What measurements cost, counted in forward passes: by hand, and larger where there is more to run again."""

from pathlib import Path

import pytest
import torch

from ablations.changes import parse_change
from experiments import open_run
from experiments.measurements.kinds import MAIN_JOB
from experiments.measurements.rllc import RLLC
from experiments.results import pass_time
from experiments.results.cells import Cells
from experiments.results.pass_time import rerun
from experiments.results.plan import default_plan
from experiments.tasks import path_effects
from tests.conftest import GPT2, make_model

ATTENTION, MLP, LOGITS = 4 * 16 * 16 + 2 * 12 * 16, 2 * 16 * 64, 16 * 50  # of one token in the model below
SIZES = {"n_layers": 3, "n_heads": 4, "d_model": 16, "d_head": 4, "d_mlp": 64, "n_ctx": 12, "d_vocab": 50}


@pytest.fixture
def cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cells:
    """Of the bundled run, a forward pass of which takes a second a row."""
    monkeypatch.setattr(pass_time, "_timed", lambda inputs: 1.0)
    monkeypatch.setattr(pass_time, "_SECONDS", type(pass_time._SECONDS)(1))
    return Cells(tmp_path, open_run("mini-seed0"), default_plan("python", 256))


def test_what_runs_again_after_a_change_is_counted() -> None:
    cfg = make_model(0, **(GPT2 | SIZES)).cfg
    whole = 3 * (ATTENTION + MLP) + LOGITS
    assert rerun(cfg, 0) == pytest.approx((2 * (ATTENTION + MLP) + MLP + LOGITS) / whole)
    assert rerun(cfg, 2) == pytest.approx((MLP + LOGITS) / whole)
    assert rerun(cfg, 2, logits=False) == pytest.approx(MLP / whole)
    assert rerun(cfg, 3) == pytest.approx(LOGITS / whole)  # a path to the output
    without = make_model(0, **SIZES | {"d_mlp": None}).cfg
    assert rerun(without, 2, logits=False) == 0  # negative control: no MLP after the heads of the last layer


def test_changes_cost_what_runs_again_after_the_first_of_them(cells: Cells) -> None:
    cfg, inputs = cells.run.model_config(), cells.inputs
    first, last, both = map(parse_change, ("L0H5", "L1H4", "L1H4+L0H5->L1H4.k+L0H5"))
    assert pass_time.of_changes(inputs, [first], 10) == pytest.approx(10 * rerun(cfg, 0))
    assert pass_time.of_changes(inputs, [first, last], 1) == pytest.approx(rerun(cfg, 0) + rerun(cfg, 1))
    assert pass_time.of_changes(inputs, [both], 1) == pytest.approx(rerun(cfg, 0))
    assert rerun(cfg, 0) > 2 * rerun(cfg, 1)


def test_jobs_take_longer_on_a_slower_machine_and_with_more_to_do(cells: Cells, monkeypatch) -> None:
    def declared() -> dict[str, float]:
        return {job.name: job.seconds for job in cells.missing_tables(MAIN_JOB, [28000])}

    def sampled(*heads: str) -> float:
        return sum(job.seconds for job in cells.missing(RLLC, 28000, restrictions=heads))

    before = declared()
    assert sampled("L0H0") > 2 * sampled("L1H0") and sampled("L1H0", "L1H1") == pytest.approx(2 * sampled("L1H0"))
    every, one = (path_effects.missing(cells, "induction", [28000], heads)[0].seconds for heads in ([], ["L1H4"]))
    assert 5 < every / one < 15  # 257 paths, of which 28 are of one head of the last layer
    monkeypatch.setattr(pass_time, "_timed", lambda inputs: 3.0)
    pass_time._SECONDS = type(pass_time._SECONDS)(1)
    assert declared() == pytest.approx({n: s * (1 if n.startswith("composition") else 3) for n, s in before.items()})


def test_a_row_is_timed(tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    assert pass_time._timed(Cells(tmp_path, open_run("mini-seed0"), default_plan("python", 256)).inputs) > 0
    assert torch.get_num_threads() == threads
