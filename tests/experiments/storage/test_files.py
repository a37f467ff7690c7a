"""Files that are whole or not at all: tensors, cells, runs."""

import json
import os

import numpy as np
import pytest
import xarray as xr

from experiments import runs
from experiments.corpora.tokenizer import train_tokenizer
from experiments.runs import presets
from experiments.storage import store
from experiments.storage.files import write_json

KEY = {"kind": "test", "run": "a", "step": 3}


def dataset() -> xr.Dataset:
    return xr.Dataset(
        {
            "value": (("restriction", "via"), np.arange(6.0).reshape(3, 2)),
            "scalar": ((), np.array(2.5)),
            "n": ((), np.array(7)),
        },
        {"restriction": ["L0H0", "L0H1", "L1H0"], "via": ["q", "k"], "layer": ("restriction", [0, 0, 1])},
        {"who": "L0H1", "nested": {"a": [1, 2]}},
    )


def test_a_cell_comes_back_as_it_went(tmp_path) -> None:
    store.write(tmp_path, KEY, dataset())
    found = store.read(tmp_path, KEY)
    assert found is not None
    xr.testing.assert_identical(found, dataset())
    assert store.read(tmp_path, {**KEY, "step": 4}) is None


def test_cached_computes_once(tmp_path) -> None:
    calls = []

    def compute() -> xr.Dataset:
        calls.append(1)
        return dataset()

    store.cached(tmp_path, KEY, compute)
    store.cached(tmp_path, KEY, compute)
    assert len(calls) == 1


def test_fingerprints_tell_values_types_and_arrays_apart() -> None:
    parts = [
        {"a": 1},
        {"a": 2},
        {"a": 1.5},
        {"b": 1},
        {"a": np.zeros(2)},
        {"a": np.zeros(2, np.float32)},
        {"a": np.zeros((2, 1))},
        {"a": np.ones(2)},
    ]
    assert len({store.fingerprint(**p) for p in parts}) == len(parts)
    assert store.fingerprint(a=1, b=2) == store.fingerprint(b=2, a=1)
    with pytest.raises(TypeError, match="fingerprint"):
        store.fingerprint(a=object())


def test_every_damaged_cell_is_set_aside_and_computed_again(tmp_path) -> None:
    generator = np.random.default_rng(0)
    store.write(tmp_path, KEY, dataset())
    path = store.cell_path(tmp_path, KEY)
    whole = path.read_bytes()
    for trial in range(100):
        data = bytearray(whole)
        if trial % 2:
            data = data[: generator.integers(len(data))]
        else:
            data[generator.integers(len(data))] ^= 1 << int(generator.integers(8))
        path.write_bytes(bytes(data))
        assert store.read(tmp_path, KEY) is None, trial
        assert path.with_suffix(".damaged").exists()
        xr.testing.assert_identical(store.cached(tmp_path, KEY, dataset), dataset())


def test_a_cell_of_another_key_is_not_read(tmp_path) -> None:
    other = {**KEY, "step": 9}
    store.write(tmp_path, other, dataset())
    store.cell_path(tmp_path, other).replace(store.cell_path(tmp_path, KEY))
    assert store.read(tmp_path, KEY) is None


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch) -> None:
    path = tmp_path / "file.json"
    write_json(path, {"a": 1})

    def full(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        write_json(path, {"a": 2})
    assert json.loads(path.read_text()) == {"a": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["file.json"]


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
    import torch

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
