"""Cells that are whole or not there: what is stored comes back, and a damaged file is set aside."""

import numpy as np
import pytest
import xarray as xr
from safetensors.numpy import save

from experiments.storage import store, tensorfile

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


def test_a_file_of_tensors_that_is_no_cell_is_refused(tmp_path) -> None:
    tensorfile.write(tmp_path / "step_0000010.safetensors", {"a": np.ones(2)}, {"step": 10})
    with pytest.raises(tensorfile.DamagedFile, match="is a file of tensors, but no cell"):
        store.read_file(tmp_path / "step_0000010.safetensors")
    store.write(tmp_path, KEY, dataset())
    key, found = store.read_file(store.cell_path(tmp_path, KEY))  # negative control
    assert key == KEY
    xr.testing.assert_identical(found, dataset())


@pytest.mark.parametrize("header", ["[]", "7", "null", '{"metadata": 7}', "{}", '{"sha256": "a"}', "not JSON"])
def test_a_file_with_another_header_is_damaged(header: str, tmp_path) -> None:
    path = store.cell_path(tmp_path, KEY)
    path.parent.mkdir()
    path.write_bytes(save({"value": np.zeros(2)}, metadata={tensorfile.HEADER: header}))
    with pytest.raises(tensorfile.DamagedFile, match=path.name):
        tensorfile.read(path)
    assert store.read(tmp_path, KEY) is None and path.with_suffix(".damaged").exists()
