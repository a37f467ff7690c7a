"""Files that are written whole or not at all, and told apart by what is in them."""

import json
import math
import os

import pytest

from experiments.storage.files import write_json


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


def test_json_has_no_nan(tmp_path) -> None:
    path = tmp_path / "file.json"
    write_json(path, {"b": [1.5, math.nan, (math.inf, "NaN")], "a": {"c": -math.inf, "d": None, "e": True}})
    read = json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert read == {"a": {"c": None, "d": None, "e": True}, "b": [1.5, None, [None, "NaN"]]}
    with pytest.raises(TypeError, match="not JSON serializable"):
        write_json(path, {"a": object()})
    assert json.loads(path.read_text()) == read
