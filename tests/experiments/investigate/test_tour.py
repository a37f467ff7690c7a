"""What a user asks first, twelve wishes, each in at most three lines: a tour that has to stay as short as it is."""

import json
from pathlib import Path

import pytest
import torch

import devcircuits as dc
from experiments.runs.run import Run
from tests.conftest import make_model

pytestmark = pytest.mark.usefixtures("small")
TEXT = "def area(width, height):\n    return width * height"


@pytest.fixture(scope="module")
def run(small: None, trained: Path) -> Run:
    return dc.open_run(trained / "runs/tiny-seed0")


@pytest.fixture(scope="module")
def inv(run: Run, tmp_path_factory: pytest.TempPathFactory) -> dc.Investigation:
    return dc.Investigation(run, out=tmp_path_factory.mktemp("tour") / "out", tokens=1500)


def test_a_run_and_a_card(inv: dc.Investigation) -> None:
    card = inv["L1H2"]
    assert "L1H2" in card._repr_html_()


def test_heads_for_my_sentence(inv: dc.Investigation) -> None:
    heads = inv.on(TEXT).heads
    assert heads.shape[1] == 8 and heads.notna().all().all()


def test_attention_on_my_text(inv: dc.Investigation) -> None:
    attention = inv.on(TEXT).attention.sel(head="L1H2")
    assert torch.allclose(torch.tensor(attention.sum("key").values), torch.ones(attention.sizes["query"]), atol=1e-5)


def test_my_prompt_with_a_head_removed(inv: dc.Investigation) -> None:
    prompt = inv.on(TEXT)
    change = prompt.without("L1H2", "L0H1->L1H3.k").logits - prompt.logits
    assert change.abs().max() > 0


def test_a_task_of_my_own_from_strings(inv: dc.Investigation) -> None:
    circuit = inv.circuit(inv.task(["a = 1", "b = 2"], ["c = 1", "d = 2"], [" x", " y"], [" z", " w"]))
    assert len(circuit.table) == len(dc.path_effects(inv.run.model(60), circuit.task).paths)


def test_two_checkpoints(inv: dc.Investigation) -> None:
    assert len(inv.compare(0, 60).table) == 8


def test_two_runs(inv: dc.Investigation, run: Run, tmp_path: Path) -> None:
    models, about = {60: run.model(60)}, {"corpus": corpus_of(run), "tokens_per_step": 1}
    again = dc.adopt(tmp_path / "runs/again", models, run.tokenizer, **about)
    found = dc.compare(inv, dc.Investigation(again, out=tmp_path / "out", tokens=1500))
    assert found.table.partner.tolist() == inv.snapshot.heads


def test_the_learning_coefficient_of_two_heads_over_training(inv: dc.Investigation) -> None:
    assert inv.rllc("L0H1+L1H2", steps=[10, 60]).plot().axes


def test_my_folder_of_checkpoints_and_my_text(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from experiments.__main__ import main

    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    torch.save(run.model(60).state_dict(), tmp_path / "mine/step60.pt")
    (tmp_path / "mine/tokenizer.json").write_text(run.tokenizer.to_str())
    (tmp_path / "mine/config.json").write_text(json.dumps({"positional_embedding_type": "shortformer"}))
    asked = ["adopt", "mine", "--out", "runs/mine", "--corpus", corpus_of(run), "--tokens-per-step", "4096"]
    assert main(asked) == 0 and dc.open_run("runs/mine").steps == [60]


def test_save_and_share(inv: dc.Investigation, tmp_path: Path) -> None:
    shown = (inv["L1H2"], inv.on(TEXT), inv.compare(0, 60), inv.rllc("L1H2", steps=[60]))
    pages = [each.save(tmp_path / f"{number}.html").read_text() for number, each in enumerate(shown)]
    assert all("<html" in page and "http" not in page for page in pages)


def test_any_model_without_a_run() -> None:
    removed = dc.ablate(make_model(), torch.arange(10)[None], ["L1H2"], method="zero")
    assert removed.effect.abs().max() > 0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_same_on_a_gpu(inv: dc.Investigation, run: Run, tmp_path: Path) -> None:
    there = dc.Investigation(run, out=tmp_path / "gpu", tokens=1500, device="cuda")
    one, other = (at.rllc("L1H2", steps=[60]).frame.loc[0] for at in (inv, there))
    assert abs(one["value"] - other["value"]) < 0.01 * one["se"]
    assert run.model(60, device="cuda").W_E.device.type == "cuda"


def corpus_of(run: Run) -> str:
    return run.config["preset"]["corpus"]
