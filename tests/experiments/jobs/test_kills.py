"""Sweeps that are killed: `benchmarks/kills.py`, with fewer kills. And two at once, and a disk that is full."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.experiments.conftest import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def kills() -> ModuleType:
    spec = importlib.util.spec_from_file_location("kills", ROOT / "benchmarks/kills.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["kills"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def whole(kills: ModuleType, trained: Path, tmp_path_factory: pytest.TempPathFactory):
    return kills.uninterrupted(trained / "runs/tiny-seed0", tmp_path_factory.mktemp("whole"))


@pytest.mark.parametrize("mode", ["in-process", "two workers", "Dask"])
def test_nothing_is_lost_or_done_twice(kills: ModuleType, whole, mode: str, trained: Path, tmp_path: Path) -> None:
    found = kills.survive(trained / "runs/tiny-seed0", whole, mode, 5, 1, tmp_path)
    assert found["kills"] == 5 and found["sweeps that came to their end"] > 0
    assert found["ended in other bits"] == 0
    assert found["finished cells written again"] == found["finished jobs begun again"] == 0


def test_two_sweeps_at_once_end_with_the_union(kills: ModuleType, whole, trained: Path, tmp_path: Path) -> None:
    run = trained / "runs/tiny-seed0"
    both = [kills.start(tmp_path / "both", run, mode, "") for mode in ("in-process", "two workers")]
    for process in both:
        _, told = process.communicate(timeout=500)
        assert process.returncode == 0, told.decode()
    assert {path.name: path.read_bytes() for path in (tmp_path / "both/cells").iterdir()} == whole.cells


def test_a_write_that_fails_is_told_and_can_be_mended(kills: ModuleType, whole, trained: Path, tmp_path: Path) -> None:
    """Files larger than 8 KB cannot be written: some cells are."""
    run, results = trained / "runs/tiny-seed0", tmp_path / "results"
    limited = "import resource, runpy, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
    limited += "resource.setrlimit(resource.RLIMIT_FSIZE, (8192, resource.RLIM_INFINITY)); "
    limited += "sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    script = str(ROOT / "benchmarks/kills.py")
    command = [sys.executable, "-c", limited, script, "--job", str(results), str(run), "in-process", ""]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    process = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=500)
    assert process.returncode != 0
    assert "File too large" in process.stderr.splitlines()[-1]
    there = {path.name for path in (results / "cells").glob("*")}
    assert there < whole.cells.keys()  # neither temporary files nor parts of cells
    kills.job(results, run, "in-process", "")
    assert {path.name: path.read_bytes() for path in (results / "cells").iterdir()} == whole.cells
