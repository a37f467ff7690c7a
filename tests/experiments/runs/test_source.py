"""What `adopt` finds by itself, and all that it lacks in one line."""

import json
import sysconfig
from pathlib import Path

import pytest
import torch

from ablations.models import Model
from experiments import runs
from experiments.__main__ import main
from experiments.runs import positions, source
from tests.conftest import make_model


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some of Python's own code, as documents."""
    path = tmp_path_factory.mktemp("text") / "python.jsonl"
    files = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))[:60]
    lines = (json.dumps({"text": file.read_text(errors="ignore")[:6000]}) for file in files)
    path.write_text("\n".join(lines))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The last checkpoint of a bundled model (shortformer positions) with its tokenizer, and nothing that says so."""
    run = runs.open_run("mini-seed0")
    (tmp_path / "given").mkdir()
    torch.save(run.model(run.steps[-1]).state_dict(), tmp_path / "given" / "step-5.pt")
    (tmp_path / "given" / "tokenizer.json").write_text(run.tokenizer.to_str())
    return tmp_path / "given"


def test_positions_are_found_by_the_loss(folder: Path, text: Path) -> None:
    found = source.prepare(folder, f"text:{text}", tokenizer=None, tokens_per_step=4096, bos=None)
    assert found.checkpoints.model(5).cfg.positional_embedding_type == "shortformer"
    assert found.note.startswith("positions are taken to be shortformer: ") and found.tokens_per_step == 4096


def test_a_model_that_is_not_trained_does_not_tell() -> None:
    def build(kind: str) -> Model:
        return make_model(1, positional_embedding_type=kind)

    rows = torch.randint(1, 50, (20, 12), generator=torch.Generator().manual_seed(0))
    with pytest.raises(ValueError, match="weights do not tell positional_embedding_type, nor does the loss") as refusal:
        positions.likelier(build, rows)
    remedy = 'say which in a config.json beside the checkpoints, {"positional_embedding_type": "standard"} or "shortfo'
    assert remedy in str(refusal.value)


def test_a_config_beside_the_checkpoints_decides(folder: Path, text: Path) -> None:
    for kind in positions.LEARNED:  # the loss would say shortformer
        (folder / "config.json").write_text(json.dumps({"positional_embedding_type": kind}))
        found = source.prepare(folder, f"text:{text}", tokenizer=None, tokens_per_step=4096, bos=None)
        assert (found.checkpoints.model(5).cfg.positional_embedding_type, found.note) == (kind, "")


def test_tokens_per_step_are_batch_times_context(folder: Path, text: Path) -> None:
    (folder / "config.json").write_text(
        json.dumps({"batch_size": 16, "n_ctx": 256, "positional_embedding_type": "shortformer"})
    )
    found = source.prepare(folder, f"text:{text}", tokenizer=None, tokens_per_step=None, bos=None)
    assert (found.tokens_per_step, found.note) == (16 * 256, "")


def test_all_that_is_lacking_is_said_at_once(folder: Path, text: Path, capsys: pytest.CaptureFixture) -> None:
    (folder / "tokenizer.json").unlink()
    assert main(["adopt", str(folder), "--out", str(folder / "run"), "--corpus", str(text)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "has no tokenizer.json" in line and f"did you mean text:{text}?" in line
    assert "give --tokens-per-step" in line
