"""The fields of config.json: each that is missing, of another type or out of range is named when a run is opened."""

import copy
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from experiments import runs
from experiments.runs import config_fields, hub
from experiments.runs.presets import PRESETS
from tests.conftest import make_model

BUNDLED = sorted(runs.ZOO.glob("*/config.json"))
WHOLE: dict[str, Any] = json.loads(BUNDLED[0].read_text())
ADOPTED = {"name": "adopted", "corpus": "cpp", "code_share": 0.3, "n_ctx": 256, "batch_size": None}
# What no field takes: other types of JSON, and numbers that are none.
NOWHERE = [[1, {}], {"a": 1}, -7, math.nan, math.inf, -0.5]


def changed(place: str, value: object) -> dict[str, Any]:
    """A copy of the configuration with one field set."""
    config = copy.deepcopy(WHOLE)
    *parents, name = place.split(".")
    part = config
    for parent in parents:
        part = part[parent]
    part[name] = value
    return config


@pytest.mark.parametrize("file", BUNDLED, ids=lambda file: file.parent.name)
def test_bundled_configurations_are_whole(file: Path) -> None:
    config_fields.check(json.loads(file.read_text()))


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_whole(name: str) -> None:
    config = copy.deepcopy(WHOLE) | {"preset": PRESETS[name].record()}
    config["model"]["n_ctx"] = PRESETS[name].n_ctx
    config_fields.check(config)


@pytest.mark.parametrize("field", config_fields.FIELDS, ids=lambda field: field.place)
def test_every_field_is_checked(field: config_fields.Field) -> None:
    name = field.place.rpartition(".")[2]
    *parents, _ = field.place.split(".")
    for value in NOWHERE:
        if field.must == "an object" and isinstance(value, dict):
            continue  # what lacks in it has fields of its own
        with pytest.raises(ValueError, match=name) as refusal:
            config_fields.check(changed(field.place, value))
        assert "\n" not in str(refusal.value) and repr(value) in str(refusal.value)
    if not field.needed:
        return
    missing = copy.deepcopy(WHOLE)
    part = missing
    for parent in parents:
        part = part[parent]
    del part[name]
    with pytest.raises(ValueError, match=f"has no {name}"):
        config_fields.check(missing)


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("preset.tokens_per_step", -4096, "preset.tokens_per_step is -4096, it must be a whole number from 1 or null"),
        ("preset.tokens_per_step", 1.5, "tokens_per_step is 1.5"),
        ("preset.batch_size", True, "batch_size is True, it must be a whole number from 1 or null"),
        ("preset.batch_size", None, "neither batch_size nor tokens_per_step"),
        ("preset.code_share", 1.5, "code_share is 1.5, it must be a number from 0 to 1"),
        ("preset.code_share", 0.0, "code_share is 0.0, it must be above 0 and below 1 for python"),
        ("preset.n_ctx", 128, "context 128 is shorter than the model's 256"),
        ("model.attn_only", "false", "model.attn_only is 'false', it must be true or false"),
        ("model.attn_only", 1, "model.attn_only is 1, it must be true or false"),
        ("model.eps", "1e-5", "model.eps is '1e-5', it must be a number above 0"),
        ("model.normalization_type", 3, "model.normalization_type is 3, it must be text or null"),
        ("model.positional_embedding_type", None, "positional_embedding_type is None, it must be text"),
        ("model.normalisation_type", "LN", "model.normalisation_type is no field that a model is made with"),
        ("model.device", "cuda", "model.device is no field"),
        ("model.rotary_scaling_factor", "2", "rotary_scaling_factor is '2', it must be a number"),
        ("model.yarn_original_max_position_embeddings", 1.5, "it must be a whole number"),
        ("corpus.fingerprint", "a", "corpus.fingerprint is 'a', it must be an object"),
    ],
)
def test_fields_are_named_with_what_they_must_be(place: str, value: object, message: str) -> None:
    with pytest.raises(ValueError) as refusal:
        config_fields.check(changed(place, value))
    assert message in str(refusal.value)


def test_negative_control_what_may_be_missing_or_null() -> None:
    config_fields.check(copy.deepcopy(WHOLE))
    config_fields.check(WHOLE | {"preset": ADOPTED | {"tokens_per_step": 4096}, "seed": None, "more": 1})
    config_fields.check(changed("model.rotary_scaling_factor", 2))
    config_fields.check(changed("model.act_fn", None))
    with pytest.raises(ValueError, match=r"config\.json holds list in place of an object"):
        config_fields.check([])


def test_a_file_nested_too_deeply_and_one_with_a_byte_order_mark(tmp_path: Path) -> None:
    for file in runs.open_run(BUNDLED[0].parent).folder.iterdir():
        (tmp_path / file.name).symlink_to(file)
    (tmp_path / "config.json").unlink()
    (tmp_path / "config.json").write_text("[" * 100_000)
    with pytest.raises(ValueError, match="cannot be opened"):
        runs.open_run(tmp_path)
    (tmp_path / "config.json").write_bytes(b"\xef\xbb\xbf" + json.dumps(WHOLE).encode())
    assert runs.open_run(tmp_path).config == WHOLE


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"eps": "small"}, "eps is 'small', it must be a number above 0: correct its config.json"),
        ({"n_ctx": "1024"}, "n_ctx is '1024', it must be a whole number from 2"),
        ({"attn_only": "yes"}, "attn_only is 'yes', it must be true or false"),
        ({"tokens_per_step": -1}, "tokens_per_step is -1, it must be a whole number from 1"),
        ({"tokens_per_step": "1e5"}, "tokens_per_step is '1e5'"),
        ({"tokens_per_step": True}, "tokens_per_step is True"),
    ],
)
def test_the_configuration_of_checkpoints_from_elsewhere(said: dict, message: str, tmp_path: Path) -> None:
    torch.save(make_model(1).state_dict(), tmp_path / "1.pth")
    (tmp_path / "config.json").write_text(json.dumps({"positional_embedding_type": "shortformer"} | said))
    with pytest.raises(ValueError) as refusal:
        hub.checkpoints(tmp_path)
    assert message in str(refusal.value) and "\n" not in str(refusal.value)
    (tmp_path / "config.json").write_text(json.dumps({"positional_embedding_type": "shortformer", "eps": 1e-5}))
    assert hub.checkpoints(tmp_path).model(1).cfg.eps == 1e-5  # negative control
