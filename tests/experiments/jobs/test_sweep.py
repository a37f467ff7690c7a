"""Sweeps: on every executor, with jobs that fail, workers that die, and memory or disk that run out."""

import errno
import json
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from ablations.not_measurable import NotMeasurable
from experiments.__main__ import main
from experiments.jobs import device, executors, job_log, runner
from experiments.jobs.job import Job, JobsFailed


def store(folder: Path, name: str) -> None:
    """Leaves a line for every time that it is done."""
    with (folder / name).open("a") as file:
        file.write("done\n")


def fail(folder: Path, name: str) -> None:
    raise NotMeasurable(f"{name} cannot be done")


def die_once(folder: Path, name: str) -> None:
    mark = folder / f"{name}.died"
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    store(folder, name)


def die(folder: Path, name: str) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def need_memory(folder: Path, name: str) -> None:
    raise MemoryError


def fill_the_disk(folder: Path, name: str) -> None:
    raise OSError(errno.ENOSPC, "no space left on device")


def tell_device(folder: Path, name: str) -> None:
    time.sleep(0.2)  # long enough for both processes to get some
    (folder / name).write_text(f"{os.getpid()} {os.environ.get(device.VARIABLE, '')}")


def jobs(folder: Path, count: int, function: Callable[[Path, str], None] = store, first: str = "a") -> list[Job]:
    names = [f"{first}{number}" for number in range(count)]
    return [Job(function, (folder, name), 1.0 + number, name) for number, name in enumerate(names)]


def done(folder: Path) -> dict[str, int]:
    """How often each job was done."""
    return {file.name: len(file.read_text().split()) for file in folder.iterdir() if file.suffix == ""}


@contextmanager
def here() -> Iterator[Executor]:
    yield executors.Here()


def two() -> AbstractContextManager[Executor]:
    return executors.pool(2)


@pytest.mark.parametrize("executor", [here, two])
def test_every_piece_is_done_once_and_told(executor, tmp_path: Path) -> None:
    with executor() as running:
        runner.run(jobs(tmp_path, 7), running, "test")
        runner.run(jobs(tmp_path, 2, first="b"), running, "again")
    assert done(tmp_path) == {f"a{n}": 1 for n in range(7)} | {"b0": 1, "b1": 1}
    entries, sweeps = job_log.read(tmp_path)
    assert {entry.state for entry in entries.values()} == {"done"} and len(entries) == 9
    assert all(entry.took is not None and entry.peak_mb and entry.peak_mb > 1 for entry in entries.values())
    assert [one.description for one in sweeps] == ["test", "again"] and all(one.over for one in sweeps)
    manifest = (tmp_path / job_log.MANIFEST).read_text().splitlines()
    assert manifest[0] == "job,state,seconds,peak_mb,error" and len(manifest) == 10


@pytest.mark.parametrize("executor", [here, two])
def test_a_piece_that_fails_does_not_stop_the_others_and_is_tried_again(executor, tmp_path: Path) -> None:
    work = [*jobs(tmp_path, 5), *jobs(tmp_path, 1, fail, "bad")]
    with executor() as running, pytest.raises(JobsFailed, match=r"1 of 6 jobs failed.*bad0 cannot be done"):
        runner.run(work, running, "test")
    assert done(tmp_path) == {f"a{n}": 1 for n in range(5)}
    assert job_log.read(tmp_path)[0]["bad0"].error == "bad0 cannot be done"
    with executor() as running:
        runner.run(jobs(tmp_path, 1, store, "bad"), running, "mended")
    assert job_log.read(tmp_path)[0]["bad0"].state == "done"


def test_input_that_no_piece_can_use_is_a_bad_input(tmp_path: Path) -> None:
    same = [job._replace(arguments=(tmp_path, "it")) for job in jobs(tmp_path, 3, fail)]
    with pytest.raises(ValueError, match="it cannot be done"):
        runner.run_here(same, "test")


def test_workers_that_die_are_replaced_and_their_work_is_done_again(tmp_path: Path) -> None:
    with executors.pool(2) as running:
        runner.run([*jobs(tmp_path, 6), *jobs(tmp_path, 2, die_once, "killed")], running, "test")
    counts = done(tmp_path)
    assert set(counts) == {f"a{n}" for n in range(6)} | {"killed0", "killed1"}
    assert sum(counts.values()) <= 8 + 2  # a neighbour that was in flight may be done twice


@pytest.mark.slow
def test_a_piece_that_kills_its_workers_fails_alone(tmp_path: Path) -> None:
    work = [*jobs(tmp_path, 4), *jobs(tmp_path, 1, die, "killer")]
    with executors.pool(2) as running, pytest.raises(JobsFailed, match=r"killer0: BrokenProcessPool|killer0.*died"):
        runner.run(work, running, "test")
    assert set(done(tmp_path)) == {f"a{n}" for n in range(4)}
    assert "worker process died" in job_log.read(tmp_path)[0]["killer0"].error


@pytest.mark.parametrize(
    ("function", "executor"),
    [(need_memory, here), *(pytest.param(function, two, marks=pytest.mark.slow) for function in (need_memory, die))],
)
def test_a_group_that_runs_out_of_memory_is_done_in_parts(function, executor, tmp_path: Path) -> None:
    group = Job(function, (tmp_path, "all"), 4.0, "all", parts=tuple(jobs(tmp_path, 2, store, "half")))
    with executor() as running:
        runner.run([*jobs(tmp_path, 2), group], running, "test")
    assert set(done(tmp_path)) == {"a0", "a1", "half0", "half1"}
    with executor() as running, pytest.raises(JobsFailed):  # one that cannot be made smaller
        runner.run([*jobs(tmp_path, 2), group._replace(parts=())], running, "test")


@pytest.mark.slow
def test_each_gpu_is_one_process_own(tmp_path: Path) -> None:
    with executors.pool(8, ("cuda:0", "cuda:1")) as running:
        runner.run(jobs(tmp_path, 6, tell_device), running, "test")
    told = [file.read_text().split() for file in tmp_path.glob("a*")]
    assert sorted({name for _, name in told}) == ["cuda:0", "cuda:1"]
    assert len({tuple(pair) for pair in told}) == len({pid for pid, _ in told}) == 2
    with executors.pool(1) as running:
        runner.run(jobs(tmp_path, 1, tell_device, "on the cpu "), running, "test")
    assert len((tmp_path / "on the cpu 0").read_text().split()) == 1


def test_a_device_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert device.own().type == "cpu" and device.for_workers("cpu") == ()
    for name, said in (("gpu", "no such device"), ("cuda:99", "PyTorch sees"), ("meta", "run on the CPU or a CUDA")):
        monkeypatch.setenv(device.VARIABLE, name)
        with pytest.raises(ValueError, match=f"{name}.*{said}"):
            device.own()


def test_a_full_disk_stops_the_sweep_at_once(tmp_path: Path) -> None:
    work = [*jobs(tmp_path, 5), *jobs(tmp_path, 1, fill_the_disk, "z")]
    work[-1] = work[-1]._replace(seconds=100.0)  # the longest are first
    with pytest.raises(OSError, match="no space left"):
        runner.run_here(work, "test")
    assert done(tmp_path) == {}


def test_status_tells_what_another_process_does(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    work = jobs(tmp_path, 4)
    log = job_log.Log(work, "sampling", workers=1)
    log.done(work[3], 400.0, 100.0)
    log.failed(work[2], "ValueError: what went wrong")
    with (tmp_path / job_log.NAME).open("a") as file:
        file.write('{"event": "done", "swe')  # a process that was killed in the middle of a line
    assert main(["status", str(tmp_path), "--jobs"]) == 0
    said = capsys.readouterr().out
    assert f"sampling, running (process {os.getpid()} on " in said
    assert re.search("1 done, 2 missing, 1 failed of 4 jobs, about (05:00|04:5.) left", said)
    assert "failed: a2: ValueError: what went wrong" in said and "missing: a0" in said
    assert main(["status", str(tmp_path / "nowhere")]) == 2


DAMAGED = [
    *('{"event": "done", "swe', "[]", "1", "null", '"text"', "{}", "\0\0", "[" * 100_000, '{"event": ["sweep"]}'),
    '{"event": "sweep", "sweep": "a", "time": 1, "description": "a", "host": "b", "pid": 1, "jobs": 7}',
    '{"event": "sweep", "sweep": "a", "time": 1, "description": "a", "host": "b", "pid": 1, "jobs": [["a"]]}',
    '{"event": "sweep", "sweep": "a", "time": "now", "description": "a", "host": "b", "pid": 1, "jobs": []}',
    '{"event": "sweep", "sweep": ["a"], "time": 1, "description": "a", "host": "b", "pid": 1, "jobs": []}',
    '{"event": "done", "sweep": "ID", "time": 1, "job": ["a0"]}',
    '{"event": "done", "sweep": "ID", "time": 1, "job": "a0", "took": "long"}',
    '{"event": "failed", "sweep": "ID", "time": 1, "job": "a0", "error": 3}',
    '{"event": "nonsense", "sweep": "ID", "time": 1, "job": "a0"}',
]


def test_damaged_lines_of_the_log_are_left_out(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    work = jobs(tmp_path, 4)
    log = job_log.Log(work, "sampling")
    log.done(work[3], 2.0, 100.0)
    whole = job_log.read(tmp_path)
    with (tmp_path / job_log.NAME).open("a") as file:
        file.write("\n".join(line.replace("ID", log._id) for line in DAMAGED) + "\n")
    assert job_log.read(tmp_path) == whole
    assert main(["status", str(tmp_path)]) == 0
    assert "1 done, 3 missing of 4 jobs" in capsys.readouterr().out
    log.done(work[0], 1.0, 100.0)  # negative control: a whole line after them counts
    assert job_log.read(tmp_path)[0]["a0"].state == "done"


def test_time_left_is_at_the_pace_so_far(tmp_path: Path) -> None:
    work = jobs(tmp_path, 4)  # of 1, 2, 3 and 4 seconds
    log = job_log.Log(work, "sampling", workers=1)
    (one,) = job_log.read(tmp_path)[1]
    assert job_log.seconds_left(one, one.began) == pytest.approx(10)
    log.done(work[3], 8.0, 1.0)
    (one,) = job_log.read(tmp_path)[1]
    assert job_log.seconds_left(one, one.last) == pytest.approx(12)


def test_a_stopped_sweep_is_told_from_a_running_one(tmp_path: Path) -> None:
    job_log.Log(jobs(tmp_path, 1), "sampling")
    lines = (tmp_path / job_log.NAME).read_text()
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    event = json.loads(lines) | {"pid": pid}
    (tmp_path / job_log.NAME).write_text(json.dumps(event) + "\n")
    assert not job_log.read(tmp_path)[1][0].running


def test_overhead_is_small(tmp_path: Path) -> None:
    """3% of jobs of one second are 30 ms each."""
    work = jobs(tmp_path, 200)
    start = time.perf_counter()
    runner.run_here(work, "test")
    assert (time.perf_counter() - start) / 200 < 0.03
