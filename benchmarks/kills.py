"""Is anything lost when a sweep is killed? SIGKILL at seeded moments, in this process, with workers, and on Dask.

    python benchmarks/kills.py

trains the tiny preset (seconds), sweeps it in each mode, and kills the sweep, one of its workers, or the Dask scheduler
in the middle of the work, until 50 kills a mode have been survived. Whenever a sweep comes to its end, its cells are
held against those of an uninterrupted one, byte by byte; no cell that was there at a kill may have been written again,
and no job that was reported as done may have been begun again. Writes benchmarks/results/kills.json.
"""

import argparse
import json
import os
import platform
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import psutil
import torch

from experiments import runs
from experiments.jobs import executors, job_log, runner
from experiments.measurements.ablations import ABLATIONS
from experiments.measurements.composition import COMPOSITION
from experiments.measurements.curvature import CURVATURE
from experiments.measurements.paths import PATHS
from experiments.measurements.rllc import RLLC
from experiments.measurements.scores import SCORES
from experiments.results.cells import Cells
from experiments.results.plan import default_plan
from experiments.runs import presets, train
from experiments.storage.files import write_json
from llc.settings import QUICK

OUT = Path(__file__).parent / "results" / "kills.json"
KINDS = (SCORES, COMPOSITION, ABLATIONS, PATHS, CURVATURE, RLLC)
SETTINGS = replace(QUICK, name="KILLS", num_draws=60, num_burnin=10)
MODES = ("in-process", "two workers", "Dask")
SCHEDULER = "tcp://127.0.0.1:{port}"
START = 120.0  # seconds that a sweep may take to begin, and Dask to answer


def job(results: Path, run: Path, mode: str, address: str) -> None:
    """The sweep that is killed."""
    torch.set_num_threads(1)
    opened = runs.open_run(run)
    plan = default_plan(opened.config["preset"]["corpus"], opened.config["preset"]["n_ctx"])
    cells = Cells(results, opened, replace(plan, llc=SETTINGS, sampled_rows=256))
    modes: dict[str, Callable[[], AbstractContextManager]] = {
        "in-process": lambda: nullcontext(executors.Here()),
        "two workers": lambda: executors.pool(2),
        "Dask": lambda: executors.dask(address),
    }
    with modes[mode]() as executor:
        runner.run(cells.missing_tables(KINDS), executor, mode)


@dataclass
class Cluster:
    """A Dask scheduler and two workers with one thread each."""

    port: int
    parts: list[subprocess.Popen]

    @property
    def address(self) -> str:
        return SCHEDULER.format(port=self.port)

    def keep_up(self) -> None:
        """Starts what is not there."""
        if self.parts and self.parts[0].poll() is not None:  # workers of a dead scheduler end by themselves, in time
            self.stop()
        if not self.parts:
            quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "start_new_session": True}
            host = ("--host", "127.0.0.1", "--port", str(self.port), "--no-dashboard")
            one = ("--nworkers", "2", "--nthreads", "1", "--no-dashboard")
            for module, arguments in (("dask_scheduler", host), ("dask_worker", (self.address, *one))):
                command = [sys.executable, "-m", f"distributed.cli.{module}", *arguments]
                self.parts.append(subprocess.Popen(command, env=_environment(), **quiet))

    def worker(self, chosen: random.Random) -> psutil.Process | None:
        """One of the two, which its nanny starts again."""
        nannies = psutil.Process(self.parts[1].pid).children()
        found = [one for one in nannies if "resource_tracker" not in " ".join(one.cmdline())]
        return chosen.choice(found) if found else None

    def stop(self) -> None:
        for part in self.parts:
            for child in _family(part.pid):
                _kill(child)
            part.wait()
        self.parts.clear()


@contextmanager
def cluster(port: int) -> Iterator[Cluster]:
    found = Cluster(port, [])
    try:
        yield found
    finally:
        found.stop()


def start(results: Path, run: Path, mode: str, address: str) -> subprocess.Popen:
    arguments = [sys.executable, __file__, "--job", str(results), str(run), mode, address]
    return subprocess.Popen(arguments, env=_environment(), stderr=subprocess.PIPE, start_new_session=True)


class Uninterrupted(NamedTuple):
    """A sweep that nothing disturbed."""

    cells: dict[str, bytes]
    seconds: float  # of work


def uninterrupted(run: Path, scratch: Path) -> Uninterrupted:
    """In one process."""
    process = start(scratch / "whole", run, "in-process", "")
    _wait_for_work(scratch / "whole", process)
    began = time.monotonic()
    _, told = process.communicate(timeout=600)
    if process.returncode:
        raise RuntimeError(told.decode())
    cells = {path.name: path.read_bytes() for path in _cells(scratch / "whole")}
    return Uninterrupted(cells, time.monotonic() - began)


def survive(run: Path, expected: Uninterrupted, mode: str, kills: int, seed: int, folder: Path) -> dict:
    """Kills and goes on, until so many kills; a sweep that came to its end is compared, and begun afresh."""
    chosen, count, ends, rewritten, repeated, wrong = random.Random(f"{mode} {seed}"), 0, 0, 0, 0, 0
    killed: dict[str, int] = {}
    with cluster(49_000 + os.getpid() % 10_000) as dask:
        results, kept, ended = folder / mode, dict[Path, tuple[int, int]](), False
        while count < kills or not ended:
            if mode == "Dask":
                dask.keep_up()
            process = start(results, run, mode, dask.address)
            _wait_for_work(results, process)
            if count < kills:
                time.sleep(chosen.uniform(0, expected.seconds))
            target = _target(process, mode, dask, chosen) if count < kills and process.poll() is None else None
            if target:
                kept |= {path: _identity(path) for path in _cells(results)}
                _kill(target[1])
                killed[target[0]] = killed.get(target[0], 0) + 1
                count += 1
            _, told = process.communicate(timeout=600)
            rewritten += sum(path.exists() and _identity(path) != before for path, before in kept.items())
            ended = process.returncode == 0
            if ended:
                ends += 1
                repeated += _begun_again(results)
                wrong += {path.name: path.read_bytes() for path in _cells(results)} != expected.cells
                shutil.rmtree(results)
                kept = {}
            elif not target:
                raise RuntimeError(f"the sweep failed by itself: {told.decode()}")
    row = {"mode": mode, "kills": count, "of": killed, "sweeps that came to their end": ends}
    again = {"finished cells written again": rewritten, "finished jobs begun again": repeated}
    return row | {"ended in other bits": wrong} | again


def _target(
    process: subprocess.Popen, mode: str, dask: Cluster, chosen: random.Random
) -> tuple[str, psutil.Process] | None:
    """What is killed: the sweep, one of its workers, or the scheduler."""
    whole = "sweep", psutil.Process(process.pid)
    if mode == "in-process" or chosen.random() < 1 / 3:
        return whole
    if mode == "two workers":
        found = [child for child in psutil.Process(process.pid).children() if "spawn_main" in " ".join(child.cmdline())]
        return ("worker", chosen.choice(found)) if found else whole
    if chosen.random() < 0.5:
        return "scheduler", psutil.Process(dask.parts[0].pid)
    worker = dask.worker(chosen)
    return ("worker", worker) if worker else whole


def _wait_for_work(results: Path, process: subprocess.Popen) -> None:
    """Until the sweep tells that it began."""
    log = results / job_log.NAME
    before, limit = log.stat().st_size if log.exists() else 0, time.monotonic() + START
    while process.poll() is None and not (log.exists() and log.stat().st_size > before):
        if time.monotonic() > limit:
            raise TimeoutError("the sweep did not begin")
        time.sleep(0.02)


def _begun_again(results: Path) -> int:
    """Jobs that a sweep was to do although one before it had reported them as done."""
    done, again = set[str](), 0
    for line in (results / job_log.NAME).read_text().splitlines():
        event = json.loads(line)
        if event["event"] == "done":
            done.add(event["job"])
        elif event["event"] == "sweep":
            again += sum(name in done for name, *_ in event["jobs"])
    return again


def _cells(results: Path) -> list[Path]:
    return sorted((results / "cells").glob("*.safetensors"))


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_ino, found.st_mtime_ns


def _family(pid: int) -> list[psutil.Process]:
    try:
        parent = psutil.Process(pid)
        return [*parent.children(recursive=True), parent]
    except psutil.NoSuchProcess:
        return []


def _kill(process: psutil.Process) -> None:
    try:
        process.send_signal(signal.SIGKILL)
    except psutil.NoSuchProcess:
        return


def _environment() -> dict[str, str]:
    root = str(Path(__file__).parents[1])
    return {**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}


def tiny() -> Path:
    """A tiny trained run."""
    run = Path("runs/tiny-seed0")
    if not (run / "config.json").exists():
        train.train(presets.get("tiny"), 0, 2, run)
    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=50, help="a mode (default: %(default)s)")
    parser.add_argument("--job", nargs=4, metavar=("RESULTS", "RUN", "MODE", "ADDRESS"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.job:
        results, run, mode, address = arguments.job
        job(Path(results), Path(run), mode, address)
        return
    run = tiny().resolve()
    record: dict = {
        "name": "kills",
        "command": "python benchmarks/kills.py",
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, torch {torch.__version__.partition('+')[0]}",
        "rows": [],
    }
    with tempfile.TemporaryDirectory() as scratch:
        expected = uninterrupted(run, Path(scratch))
        for mode in MODES:
            row = survive(run, expected, mode, arguments.kills, 0, Path(scratch))
            record["rows"].append(row)
            print(row, flush=True)
            write_json(OUT, record)


if __name__ == "__main__":
    main()
