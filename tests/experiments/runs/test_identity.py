"""Models are known by their content: what was replaced in place is read again, and what was not is the same object."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers

from ablations.models import Model
from experiments import corpora, runs
from experiments.corpora.tokenizer import BOS
from experiments.runs import adopt
from experiments.runs.models import model_at, model_on
from experiments.storage import files
from tests.conftest import make_model

WORDS = 49
TOKENS = torch.arange(16)[None] * 3


def words(first: int = 0) -> Tokenizer:
    """BOS and all words; first: the one that has the lowest id."""
    order = [BOS, *(f"w{(first + number) % WORDS}" for number in range(WORDS))]
    made = Tokenizer(models.WordLevel({token: number for number, token in enumerate(order)}))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()  # type: ignore[assignment]
    made.add_special_tokens([BOS])
    return made


def write_words(path: Path, seed: int) -> None:
    """Documents of random words; those of any two seeds take as many bytes."""
    draws = np.random.default_rng(seed)
    documents = (" ".join(f"w{n}" for n in draws.permutation(np.arange(80) % WORDS)) for _ in range(200))
    path.write_text("\n".join(json.dumps({"text": document}) for document in documents))


@pytest.fixture
def text(tmp_path: Path) -> Path:
    write_words(tmp_path / "words.jsonl", 0)
    return tmp_path / "words.jsonl"


@pytest.fixture
def run(tmp_path: Path, text: Path) -> runs.Run:
    return adopt.adopt(
        tmp_path / "mine", {10: make_model(0), 20: make_model(1)}, words(), corpus=f"text:{text}", tokens_per_step=160
    )


def logits(model: Model) -> torch.Tensor:
    with torch.no_grad():
        return model(TOKENS)


def test_what_stays_is_the_same_object(run: runs.Run, tmp_path: Path) -> None:
    first, again = model_at(run, 10), model_at(runs.open_run(run.folder), 10)
    assert first is again and first is model_on(run, 10, torch.device("cpu"))
    copy = runs.open_run(shutil.copytree(run.folder, tmp_path / "copied under another name"))
    assert model_at(copy, 10) is first
    assert (copy.model_digest(10), copy.configuration, copy.tokenizer_digest) == (
        (run.model_digest(10), run.configuration, run.tokenizer_digest)
    )
    other = model_at(run, 20)
    assert other is not first and not torch.allclose(logits(other), logits(first))


@pytest.mark.parametrize("way", ["as a new file", "in place", "at once", "with the same times"])
def test_a_checkpoint_that_is_replaced(way: str, run: runs.Run) -> None:
    path = runs.checkpoint_path(run.folder, 10)
    old, old_digest, times = model_at(run, 10), run.model_digest(10), path.stat()
    model = make_model(7)
    if way == "as a new file":
        runs.write_checkpoint(run.folder, 10, model)
    else:
        runs.write_checkpoint(run.folder.parent, 10, model)
        path.write_bytes(runs.checkpoint_path(run.folder.parent, 10).read_bytes())
    if way == "at once":  # several within a tick of the file system's clock
        for seed in range(8, 16):
            model = make_model(seed)
            runs.write_checkpoint(run.folder.parent, 10, model)
            path.write_bytes(runs.checkpoint_path(run.folder.parent, 10).read_bytes())
            assert torch.allclose(logits(model_at(run, 10)), logits(model)), seed
    if way == "with the same times":
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert path.stat().st_size == times.st_size
    new = model_at(run, 10)
    assert run.model_digest(10) != old_digest
    assert torch.allclose(logits(new), logits(model)) and not torch.allclose(logits(new), logits(old))


def test_a_checkpoint_that_is_touched_only_is_the_same(run: runs.Run) -> None:
    path, before = runs.checkpoint_path(run.folder, 10), model_at(run, 10)
    os.utime(path)
    path.write_bytes(path.read_bytes())
    assert model_at(run, 10) is before


def test_a_checkpoint_that_is_gone_is_named(run: runs.Run) -> None:
    assert run.steps == [10, 20]
    runs.checkpoint_path(run.folder, 10).unlink()
    with pytest.raises(ValueError, match=r"run mine: step_0000010.safetensors cannot be read .*: restore it"):
        model_at(run, 10)
    with pytest.raises(ValueError, match="no checkpoint at step 30"):
        run.model_digest(30)


@pytest.mark.parametrize(
    "correction", [{"attn_scale": 1.0}, {"eps": 0.5}, {"normalization_type": "LNPre"}], ids=lambda c: next(iter(c))
)
def test_a_configuration_that_is_corrected(correction: dict, tmp_path: Path, text: Path) -> None:
    plain = {"normalization_type": None} if "normalization_type" in correction else {}
    folder = tmp_path / "mine"
    run = adopt.adopt(folder, {10: make_model(0, **plain)}, words(), corpus=f"text:{text}", tokens_per_step=160)
    old, config = model_at(run, 10), json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config))  # other bytes, the same configuration
    assert model_at(runs.open_run(folder), 10) is old
    config["model"] |= correction
    (folder / "config.json").write_text(json.dumps(config))
    corrected = runs.open_run(folder)
    assert corrected.configuration != run.configuration
    assert corrected.model_digest(10) == run.model_digest(10)
    new = model_at(corrected, 10)
    assert torch.equal(logits(new), logits(corrected.model(10)))
    assert not torch.allclose(logits(new), logits(old))
    assert model_at(run, 10) is old  # the run as it was opened stays what it is


def test_a_tokenizer_that_is_replaced(run: runs.Run) -> None:
    before = run.corpus("test")
    assert runs.open_run(run.folder).corpus("test").tokens is before.tokens
    (run.folder / "tokenizer.json").write_text(words(first=7).to_str())
    changed = runs.open_run(run.folder)
    assert changed.tokenizer_digest != run.tokenizer_digest
    after = changed.corpus("test")
    assert after.fingerprint == changed.corpus_fingerprint("test") != before.fingerprint
    assert after.tokenizer.token_to_id("w7") == 1 and before.tokenizer.token_to_id("w7") == 8
    assert not np.array_equal(after.tokens, before.tokens)
    assert run.corpus("test").tokens is before.tokens  # the run as it was opened keeps its tokenizer


def test_a_text_that_is_changed(run: runs.Run, text: Path) -> None:
    before = run.corpus("test")
    assert run.corpus_fingerprint("test") == before.fingerprint
    size = text.stat().st_size
    write_words(text, 1)
    assert text.stat().st_size == size
    after = run.corpus("test")
    assert after.fingerprint == run.corpus_fingerprint("test") != before.fingerprint
    assert not np.array_equal(after.tokens[:3], before.tokens[:3])
    assert run.corpus_note(after) and not run.corpus_note(before)
    write_words(text, 0)
    assert np.array_equal(run.corpus("test").tokens, before.tokens)
    assert run.corpus("test").fingerprint == before.fingerprint


@pytest.mark.parametrize("change", ["weights", "configuration", "tokenizer", "corpus", "text", "nothing"])
def test_a_model_with_its_text_is_named_by_all_of_it(change: str, text: Path) -> None:
    model, tokenizer, corpus = make_model(0), words(), f"text:{text}"
    before = adopt.content_name(model, tokenizer, corpus)
    if change == "weights":
        model.W_E.data[3, 2] += 1
    if change == "configuration":
        model.cfg.attn_scale *= 2
    if change == "tokenizer":
        tokenizer = words(first=7)
    if change == "corpus":
        corpus = f"text:{shutil.copy(text, text.with_name('other.jsonl'))}"
    if change == "text":
        write_words(text, 1)
    assert (adopt.content_name(model, tokenizer, corpus) == before) == (change == "nothing")


def test_digests_are_of_the_bytes(tmp_path: Path) -> None:
    path = tmp_path / "file"
    digests = []
    for content in (b"one", b"two", b"one"):
        path.write_bytes(content)
        digests.append(files.digest(path))
    assert digests[0] == digests[2] == "7692c3ad3540bb80" and digests[1] != digests[0]
    with pytest.raises(OSError, match="No such file"):
        files.digest(tmp_path / "none")


def test_loaded_rows_cannot_be_written_to(run: runs.Run) -> None:
    rows = run.corpus("test")
    mixed = corpora.interleave(rows, run.corpus("train"), 0.3)
    for array in (rows.tokens, rows.positions, mixed.tokens, mixed.documents):
        with pytest.raises(ValueError, match="read-only"):
            array[0, 0] = 1
