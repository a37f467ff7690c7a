"""Runs: their models come back as they were written, and what is wrong with one is named."""

import json

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers

from ablations.not_measurable import NotMeasurable
from experiments import runs
from experiments.corpora.tokenizer import train_tokenizer
from experiments.runs import presets
from experiments.runs.run import leave_out
from experiments.storage.files import write_json


@pytest.fixture
def run_folder(tmp_path):
    preset = presets.get("tiny")
    model = presets.build(preset, 0, 2)
    folder = tmp_path / "tiny-seed0"
    keys = ("n_layers", "d_model", "n_ctx", "d_head", "n_heads", "d_vocab", "attn_only", "act_fn", "normalization_type")
    config = {
        "schema": 1,
        "preset": preset.record(),
        "seed": 0,
        "model": {key: getattr(model.cfg, key) for key in (*keys, "positional_embedding_type")},
        "corpus": {"name": "python", "fingerprint": {"train": "", "test": ""}},
    }
    write_json(folder / "config.json", config)
    for step in (0, 10):
        runs.write_checkpoint(folder, step, model)
    return folder


def test_a_run_gives_back_its_model(run_folder) -> None:
    run = runs.open_run(run_folder)
    assert run.steps == [0, 10]
    model, expected = run.model(10), presets.build(presets.get("tiny"), 0, 2)
    for name, parameter in expected.named_parameters():
        assert np.array_equal(model.state_dict()[name], parameter.detach()), name
    other = presets.build(presets.get("tiny"), 1, 2)
    assert not np.array_equal(other.W_E.detach(), expected.W_E.detach())


def test_building_a_model_leaves_the_global_generator_alone(run_folder) -> None:
    before = torch.random.get_rng_state()
    presets.build(presets.get("tiny"), 5, 2)
    runs.open_run(run_folder).model(0)
    assert torch.equal(before, torch.random.get_rng_state())


def edit(folder, **model: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["model"] |= model
    (folder / "config.json").write_text(json.dumps(config))


def test_bad_runs_are_named(run_folder, tmp_path) -> None:
    with pytest.raises(ValueError, match="no run 'nowhere'"):
        runs.open_run("nowhere")
    with pytest.raises(ValueError, match=r"step 7: choose one of 0, 10"):
        runs.open_run(run_folder).model(7)
    checkpoint = runs.checkpoint_path(run_folder, 10)
    whole = checkpoint.read_bytes()
    checkpoint.write_bytes(whole[:-100])
    with pytest.raises(ValueError, match="not a whole safetensors file"):
        runs.open_run(run_folder).model(10)
    checkpoint.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(ValueError, match="checksum"):
        runs.open_run(run_folder).model(10)
    checkpoint.write_bytes(whole)
    edit(run_folder, d_model=48)
    with pytest.raises(ValueError, match="not of the same model"):
        runs.open_run(run_folder).model(10)
    edit(run_folder, d_model=32, n_ctx=16)
    with pytest.raises(ValueError, match="context 64 is longer than the model's 16"):
        runs.open_run(run_folder)
    (run_folder / "config.json").write_text("{")
    with pytest.raises(ValueError, match="cannot be opened"):
        runs.open_run(run_folder)


def test_a_tokenizer_of_another_size_is_refused(run_folder, corpus_file) -> None:
    tokenizer = train_tokenizer(f"text:{corpus_file}", 300)
    (run_folder / "tokenizer.json").write_text(tokenizer.to_str())
    with pytest.raises(ValueError, match=r"tokenizer has 300 tokens, the model 400"):
        _ = runs.open_run(run_folder).tokenizer
    (run_folder / "tokenizer.json").write_text("not json")
    with pytest.raises(ValueError, match=r"tokenizer.json cannot be read"):
        _ = runs.open_run(run_folder).tokenizer


def test_export_rounds_to_float16(run_folder, tmp_path) -> None:
    for name in ("tokenizer.json", "history.json"):
        (run_folder / name).write_text("{}")
    runs.export(runs.open_run(run_folder), tmp_path / "zoo", [10])
    small = runs.open_run(tmp_path / "zoo")
    assert small.steps == [10]
    exact, rounded = runs.open_run(run_folder).arrays(10), small.arrays(10)
    for name, array in exact.items():
        assert rounded[name].dtype == np.float32
        assert np.array_equal(rounded[name], array.astype(np.float16).astype(np.float32))


def test_weights_that_are_left_out_keep_their_name(run_folder, tmp_path) -> None:
    for name in ("tokenizer.json", "history.json"):
        (run_folder / name).write_text("{}")
    folder = tmp_path / "zoo"
    runs.export(runs.open_run(run_folder), folder, [0, 10])
    whole = runs.open_run(folder)
    digests = {step: whole.model_digest(step) for step in (0, 10)}
    leave_out(folder, [10])
    rest = runs.open_run(folder)
    assert rest.steps == [0, 10] and not runs.checkpoint_path(folder, 0).exists()
    assert {step: rest.model_digest(step) for step in (0, 10)} == digests and len(set(digests.values())) == 2
    with pytest.raises(NotMeasurable, match="no weights of step 0, only what was measured of it: choose 10"):
        rest.bare_model(0)
    assert rest.bare_model(10).cfg.n_layers == whole.bare_model(10).cfg.n_layers
    with pytest.raises(ValueError, match="step 7: choose one of 0, 10"):
        rest.model_digest(7)
    (folder / "digests.json").write_text("[1]")
    with pytest.raises(ValueError, match=r"digests.json is no list of steps"):
        runs.open_run(folder)


def words(d_vocab: int, last: int) -> Tokenizer:
    """A vocabulary of words numbered from 0, but for the last one."""
    numbers = [*range(d_vocab - 1), last]
    return Tokenizer(models.WordLevel({f"w{number}": number for number in numbers}))


def test_a_tokenizer_with_numbers_that_the_model_lacks_is_refused(run_folder) -> None:
    (run_folder / "tokenizer.json").write_text(words(400, 5000).to_str())
    with pytest.raises(ValueError, match="has a token 5000, the model's are 0 to 399: use the tokenizer"):
        _ = runs.open_run(run_folder).tokenizer
    (run_folder / "tokenizer.json").write_text(words(400, 399).to_str())
    assert runs.open_run(run_folder).tokenizer.get_vocab_size() == 400  # negative control


def test_a_tokenizer_neither_cuts_nor_fills_up_texts(run_folder) -> None:
    tokenizer = words(400, 399)
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    plain = tokenizer.to_str()
    tokenizer.enable_truncation(2)
    tokenizer.enable_padding(length=9)
    assert len(tokenizer.encode("w1 w2 w3").ids) == 9  # negative control
    (run_folder / "tokenizer.json").write_text(tokenizer.to_str())
    own = runs.open_run(run_folder).tokenizer
    assert own.encode("w1 w2 w3").ids == [1, 2, 3] and own.to_str() == plain
