"""A tiny trained run and its results, as a user makes them, shared by the tests of the command line."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from experiments.results.plan import default_plan
from llc.settings import QUICK
from tests.conftest import only_once

ROOT = Path(__file__).parents[2]

SMALL = {
    "measurements.variants.FEW": 2,
    "investigate.head_pairs.PATH_TOKENS": 2000,
    "heldout.head_overlap.TOKENS": 3000,
    "heldout.text_multigrams.MINED_TOKENS": 60_000,
    "heldout.text_multigrams.MOST": 20,
    "investigate.text_attention.SHOWN": 12,
}
FEWER = {"llc": replace(QUICK, num_draws=16, num_burnin=4), "score_sequences": 8, "path_sequences": 8}


@pytest.fixture(scope="module")
def small() -> Iterator[None]:
    """Less of everything; learning coefficients at the first and the last checkpoint."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SMALL.items():
            patch.setattr(f"experiments.{name}", value)
        patch.setattr("experiments.results.plan.default_plan", lambda *sizes: replace(default_plan(*sizes), **FEWER))
        yield


def command(*arguments: str, cwd: Path) -> subprocess.Popen:
    # one thread: test processes share the cores, and threads that wait for each other's turn waste most of them
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "experiments", *arguments],
        cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        # a shell's background jobs ignore Ctrl-C, and so would what they start
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip


def finish(process: subprocess.Popen, limit: float = 500) -> str:
    out, err = process.communicate(timeout=limit)
    assert process.returncode == 0, err
    return out


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, corpus_file: Path, session_folder: Path) -> Path:
    """A folder with runs/tiny-seed0 in it, trained on the standard library's functions: once for all test processes."""
    folder, once = tmp_path_factory.mktemp("trained"), session_folder / "once"
    with only_once(once) as first:
        if first:
            training = once.with_suffix(".training")
            training.mkdir(exist_ok=True)
            finish(command("train", "--preset", "tiny", "--corpus", f"text:{corpus_file}", cwd=training))
            training.rename(once)
    shutil.copytree(once / "runs", folder / "runs")
    return folder


@pytest.fixture(scope="session")
def reproduced(trained: Path) -> Path:
    """Its results folder after one uninterrupted `reproduce`."""
    finish(command("reproduce", "--run", "tiny-seed0", "--workers", "2", cwd=trained))
    return trained / "results" / "tiny-seed0"
