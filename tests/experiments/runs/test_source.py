"""What `adopt` finds by itself, and all that it lacks in one line."""

import json
import shutil
import sysconfig
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models

from ablations.models import Model
from experiments import runs
from experiments.__main__ import main
from experiments.corpora.tokenizer import BOS, pretrained, starts_with
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


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """The tokenizer of another model, in a file of another name."""
    made = Tokenizer(models.WordLevel({token: number for number, token in enumerate([BOS, "a", "b"])}))
    made.add_special_tokens([BOS])
    made.save(str(tmp_path / "small.json"))
    return tmp_path / "small.json"


def test_a_tokenizer_of_another_size_is_refused_before_any_loss(
    folder: Path, text: Path, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(positions, "likelier", lambda *_: pytest.fail("a loss of a wrong tokenizer"))
    d_vocab = runs.open_run("mini-seed0").model_config().d_vocab

    def refusal(tokenizer: Path | None, tokens: int | None, bos: str | None = None) -> str:
        given = str(tokenizer) if tokenizer else None
        with pytest.raises(ValueError) as caught:
            source.prepare(folder, f"text:{text}", tokenizer=given, tokens_per_step=tokens, bos=bos)
        return str(caught.value)

    sizes = f"the tokenizer has 3 tokens, the model {d_vocab}: give the one that it was trained with"
    assert refusal(small, 4096).startswith(sizes) and "tokens-per-step" not in refusal(small, 4096)
    assert sizes in refusal(small, None) and "give --tokens-per-step" in refusal(small, None)
    assert "the tokenizer has" not in refusal(None, None)  # negative control: its own fits
    assert "bos='<s>'" in refusal(None, None, "<s>") and "give --tokens-per-step" in refusal(None, None, "<s>")
    monkeypatch.undo()
    (folder / "step-5.pt").write_bytes(b"")
    assert "cannot be read" in refusal(small, 4096)


def test_a_tokenizer_by_its_file(folder: Path, small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: pytest.fail("the hub is asked"))
    own, file = runs.open_run("mini-seed0").tokenizer.get_vocab(), folder / "tokenizer.json"
    assert pretrained(str(folder)).get_vocab() == pretrained(str(file)).get_vocab() == own
    shutil.copy(small, file)
    (folder / "tokenizer_config.json").write_text(json.dumps({"bos_token": "a"}))
    assert starts_with(pretrained(str(file))) == "a"  # what lies beside it counts
    assert starts_with(pretrained(str(small))) == BOS
    (folder / "step-5.json").write_text("{}")
    with pytest.raises(ValueError, match=r"step-5.json: .*: give a file as tokenizer.json is, or a folder with one"):
        pretrained(str(folder / "step-5.json"))


def test_a_tokenizer_that_is_not_there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    with monkeypatch.context() as patch:
        patch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: pytest.fail("the hub is asked"))
        for name in ("tokenizer.json", "someone/tokenizer.json", "given/words", "/nowhere/words", "../words"):
            with pytest.raises(ValueError, match=f"^tokenizer {name}: no such file or folder$"):
                pretrained(name)
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: folder)
    assert pretrained("someone/words").get_vocab_size() > 3  # negative control: of the hub
