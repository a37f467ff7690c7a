"""What is asked for around a call is where it computes; what is not there is refused in one line."""

import re

import pytest
import torch

import devcircuits as dc
from experiments.__main__ import main
from experiments.jobs import device
from experiments.measurements.ablations import ABLATIONS
from experiments.results import inputs
from experiments.runs.run import Run

GPUS = torch.cuda.device_count()
WRONG = {
    "gpu": "device=gpu: no such device; use cpu, cuda or cuda:NUMBER",
    "meta": "device=meta: chains and ablations run on the CPU or a CUDA GPU; use cpu, cuda or cuda:NUMBER",
    "cuda:99": "device=cuda:99: PyTorch sees "
    + (f"{GPUS} GPUs here; use another, or cpu" if GPUS else "no GPU here; use cpu"),
}


@pytest.fixture(scope="module")
def run(trained) -> Run:  # type: ignore[no-untyped-def]
    return dc.open_run(trained / "runs/tiny-seed0")


def test_a_device_holds_inside_its_block_alone_and_before_that_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(device.VARIABLE, "cuda:99")
    with device.on("cpu"):
        assert device.own() == torch.device("cpu")
        with device.on(""):
            assert device.own() == torch.device("cpu"), "an empty name changes nothing"
        with pytest.raises(ValueError, match="meta"), device.on("meta"):
            device.own()
        assert device.own() == torch.device("cpu")
    with pytest.raises(ValueError, match="DEVCIRCUITS_DEVICE=cuda:99: PyTorch sees"):  # the control
        device.own()


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("name", WRONG)
def test_what_is_not_there_is_refused_in_one_line(run: Run, tmp_path, name: str) -> None:  # type: ignore[no-untyped-def]
    for ask in (lambda: dc.Investigation(run, out=tmp_path, device=name), lambda: run.model(60, device=name)):
        with pytest.raises(ValueError, match=re.escape(WRONG[name])) as raised:
            ask()
        assert str(raised.value) == WRONG[name]
    with pytest.raises(ValueError, match=re.escape(WRONG[name])):
        dc.compare(run, run, device=name)
    assert run.model(60, device="cpu").W_E.device.type == "cpu"


@pytest.mark.usefixtures("small")
def test_what_an_investigation_measures_is_measured_where_it_says(
    run: Run,
    tmp_path,  # type: ignore[no-untyped-def]
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(inputs, "model_on", lambda run, step, at: asked.append(str(at)) or run.bare_model(step))
    inv = dc.Investigation(run, out=tmp_path / "a", tokens=1500, device="cpu:1")  # a name that PyTorch takes anywhere
    inv.snapshot.cells.get(ABLATIONS, 60)
    assert asked == ["cpu:1"]
    inv.snapshot.compute(inv.snapshot.cells.missing(ABLATIONS, 10), "ablations")
    assert asked == ["cpu:1"] * 2, "jobs too"
    dc.Investigation(run, out=tmp_path / "b", tokens=1500).snapshot.cells.get(ABLATIONS, 60)
    assert asked[2:] == ["cpu"], "the control: nothing is asked for"


@pytest.mark.skipif(torch.cuda.is_available(), reason="of a machine without a GPU")
@pytest.mark.parametrize("verb", [["types"], ["investigate", "L1H4"], ["explore"], ["train", "--preset", "tiny"]])
def test_verbs_refuse_a_gpu_that_is_not_there(verb: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*verb, "--device", "cuda"]) == 2
    assert capsys.readouterr().err == "error: --device cuda: PyTorch sees no GPU here; use cpu\n"


def test_an_executor_has_devices_of_its_own(run: Run, tmp_path) -> None:  # type: ignore[no-untyped-def]
    from experiments.jobs.executors import Here

    with pytest.raises(ValueError, match="device=cpu with an executor: start its workers with DEVCIRCUITS_DEVICE=cpu"):
        dc.Investigation(run, out=tmp_path, workers=Here(), device="cpu")
