"""A hundred seeded damages of a stored cell and of a checkpoint: none is read as data, none runs what it holds."""

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from safetensors.numpy import save

from experiments import runs
from experiments.runs import presets
from experiments.storage import store, tensorfile

TRIALS = 100
KEY = {"kind": "test", "run": "a", "step": 3}
OTHER = {**KEY, "step": 4}


class Marks:
    """A pickle that leaves a file behind when it is loaded."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple:
        return Path.touch, (self.marker,)


def values(shift: float = 0.0) -> xr.Dataset:
    data = {"value": (("restriction", "via"), shift + np.arange(60.0).reshape(20, 3)), "n": ((), np.array(7))}
    return xr.Dataset(data, {"restriction": [f"L0H{head}" for head in range(20)], "via": ["q", "k", "v"]}, {"who": "a"})


def truncated(whole: bytes, generator: np.random.Generator, marker: Path) -> bytes:
    return whole[: generator.integers(len(whole))]


def flipped(whole: bytes, generator: np.random.Generator, marker: Path) -> bytes:
    data = bytearray(whole)
    data[generator.integers(len(data))] ^= 1 << int(generator.integers(8))
    return bytes(data)


def foreign(whole: bytes, generator: np.random.Generator, marker: Path) -> bytes:
    return save({"value": generator.normal(size=(20, 3))}, metadata={"format": "pt"})


def malicious(whole: bytes, generator: np.random.Generator, marker: Path) -> bytes:
    return pickle.dumps([Marks(marker)], protocol=int(generator.integers(2, 6)))


Damage = Callable[[bytes, np.random.Generator, Path], bytes]
DAMAGES: tuple[Damage, ...] = (truncated, flipped, foreign, malicious)


def test_every_damage_of_a_cell_is_found_and_made_good(tmp_path: Path) -> None:
    generator, found = np.random.default_rng(7), {"swapped": 0} | {damage.__name__: 0 for damage in DAMAGES}
    marker = tmp_path / "marker"
    store.write(tmp_path, KEY, values())
    path = store.cell_path(tmp_path, KEY)
    whole = path.read_bytes()
    for trial in range(TRIALS):
        kind = trial % (len(DAMAGES) + 1)
        if kind < len(DAMAGES):
            bad = DAMAGES[kind](whole, generator, marker)
            assert bad != whole
            path.write_bytes(bad)
        else:  # another cell under this one's name
            store.write(tmp_path, OTHER, values(generator.normal()))
            bad = store.cell_path(tmp_path, OTHER).replace(path).read_bytes()
        aside = path.with_suffix(".damaged")
        aside.unlink(missing_ok=True)
        assert store.read(tmp_path, KEY) is None, trial
        assert not path.exists()
        assert aside.read_bytes() == bad
        xr.testing.assert_identical(store.cached(tmp_path, KEY, values), values())
        assert path.read_bytes() == whole
        found["swapped" if kind == len(DAMAGES) else DAMAGES[kind].__name__] += 1
    assert found == dict.fromkeys(found, TRIALS // len(found))
    assert sum(found.values()) == TRIALS
    assert not marker.exists()
    assert sorted(file.suffix for file in path.parent.iterdir()) == [".damaged", ".safetensors"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    runs.write_checkpoint(folder, 10, presets.build(presets.get("tiny"), 0, 2))
    return runs.checkpoint_path(folder, 10)


def test_every_damage_of_a_checkpoint_is_found(checkpoint: Path, tmp_path: Path) -> None:
    generator, marker, found = np.random.default_rng(8), tmp_path / "marker", 0
    whole, path = checkpoint.read_bytes(), tmp_path / checkpoint.name
    for trial in range(TRIALS):
        path.write_bytes(DAMAGES[trial % len(DAMAGES)](whole, generator, marker))
        before = path.read_bytes()
        with pytest.raises(tensorfile.DamagedFile, match=r"step_0000010.safetensors .*: delete it or restore it"):
            tensorfile.read(path)
        found += path.read_bytes() == before
    assert found == TRIALS
    assert not marker.exists()
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_negative_control_what_is_whole_is_read(checkpoint: Path, tmp_path: Path) -> None:
    store.write(tmp_path, KEY, values())
    store.write(tmp_path, OTHER, values(1.0))
    for _ in range(3):
        xr.testing.assert_identical(store.read(tmp_path, KEY), values())
        xr.testing.assert_identical(store.read(tmp_path, OTHER), values(1.0))
    copy = shutil.copy(checkpoint, tmp_path / checkpoint.name)
    arrays, metadata = tensorfile.read(Path(copy))
    assert metadata == {"step": 10}
    assert arrays["embed.W_E"].shape == (400, 32)
    pickle.loads(malicious(b"", np.random.default_rng(0), tmp_path / "marker"))
    assert (tmp_path / "marker").exists()
