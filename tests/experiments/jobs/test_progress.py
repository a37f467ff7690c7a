"""One bar for a command, whose time moves, and says what `status` says; `status` writes nothing."""

import json
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from experiments.__main__ import main
from experiments.cli import status
from experiments.jobs import job_log, progress, runner
from experiments.jobs.estimate import Timed, seconds_left
from experiments.jobs.executors import Here, Pool, workers_of
from experiments.jobs.job import Job
from experiments.storage import tensorfile


def rest(folder: Path, seconds: float) -> None:
    time.sleep(seconds)


def jobs(folder: Path, *seconds: float, kind: str = "rllc", first: str = "a") -> list[Job]:
    return [
        Job(rest, (folder, 0.0), float(declared), f"{first}{number}", kind=kind)
        for number, declared in enumerate(seconds)
    ]


START = {"elapsed": 0.0, "since": 0.0, "workers": 1}


def test_before_the_first_job_is_done_the_declared_seconds_count() -> None:
    waiting = [Timed("scores", 10.0), Timed("rllc", 30.0)]
    assert seconds_left(waiting, **START) == 40
    assert seconds_left([], **START) == 0
    assert seconds_left([Timed("scores", 10.0, True, 3.0)], **START) == 0


def test_each_kind_is_corrected_by_what_its_own_jobs_took() -> None:
    done = [Timed("scores", 1.0, True, 5.0), Timed("scores", 1.0, True, 3.0), Timed("rllc", 100.0, True, 50.0)]
    waiting = [Timed("scores", 2.0), Timed("rllc", 200.0)]
    assert seconds_left([*done, *waiting], elapsed=58.0, since=0.0, workers=1) == pytest.approx(2 * 4 + 200 / 2)
    # the control, one pace for all: it would say 115 seconds
    paced = (sum(job.took or 0 for job in done) / sum(job.declared for job in done)) * 202
    assert paced == pytest.approx(115, abs=1)
    # a kind of which none is done: as wrong as all that are
    unseen = seconds_left([*done, Timed("traces", 102.0)], elapsed=58.0, since=0.0, workers=1)
    assert unseen == pytest.approx(58)


def test_a_job_that_failed_is_over_and_tells_no_pace() -> None:
    failed = Timed("rllc", 100.0, True, None)
    assert seconds_left([failed, Timed("rllc", 10.0)], **START) == 10


def test_jobs_side_by_side() -> None:
    waiting = [Timed("rllc", 30.0)] * 4
    assert seconds_left(waiting, elapsed=0.0, since=0.0, workers=2) == 60
    assert seconds_left(waiting[:1], elapsed=0.0, since=0.0, workers=2) == 30, "one job has one worker"
    assert seconds_left([Timed("rllc", 90.0), *waiting[:1]], elapsed=0.0, since=0.0, workers=2) == 90, "the longest"
    done = [Timed("rllc", 30.0, True, 30.0)] * 6
    assert seconds_left([*done, *waiting], elapsed=60.0, since=0.0, workers=0) == pytest.approx(40), "three were busy"


def test_time_goes_by_while_a_job_runs_and_is_never_up_before_it_is_done() -> None:
    left = [
        seconds_left([Timed("rllc", 30.0)], elapsed=at, since=at, workers=1) for at in (0.0, 10.0, 29.0, 60.0, 600.0)
    ]
    assert left == pytest.approx([30, 20, 2.9, 6, 60])


def test_executors_say_how_much_they_do_at_once() -> None:
    assert workers_of(Here()) == 1 and workers_of(Pool(3)) == 3 and workers_of(Pool(3, ("cuda:0",))) == 1


def test_status_says_what_the_bar_says(tmp_path: Path) -> None:
    """Also of a sweep in several folders, whose logs hold a part of its jobs each."""
    here, there = (tmp_path / name for name in ("here", "there"))
    work = [*jobs(here, 10, 20, 30), *jobs(there, 400, 5, kind="scores", first="b")]
    stage, log = progress.Stage(work, workers=2), job_log.Log(work, "sampling", 2)
    for job, took in ((work[0], 20.0), (work[4], 10.0)):
        log.done(job, took, 1.0)
        stage.over(job, took)
    sweeps = [job_log.read(folder)[1][0] for folder in (here, there)]
    said = [job_log.seconds_left(sweep, sweep.last) for sweep in sweeps]
    assert said == pytest.approx([800, 800], abs=1) and stage.left() == pytest.approx(800, abs=1)
    (there / job_log.NAME).unlink()  # the control: a part of the jobs alone takes 50 seconds
    assert job_log.seconds_left(sweeps[0], sweeps[0].last) == pytest.approx(60, abs=1)


def test_logs_of_before_and_folders_that_were_moved_are_read(tmp_path: Path) -> None:
    job_log.Log(jobs(tmp_path / "old", 10, 20), "sampling", 1)
    event = json.loads((tmp_path / "old" / job_log.NAME).read_text())
    event |= {"jobs": [[name, seconds] for name, seconds, _ in event["jobs"]]}
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / job_log.NAME).write_text(
        json.dumps({part: event[part] for part in event if part not in ("workers", "folders")}) + "\n"
    )
    (tmp_path / "old").rename(tmp_path / "moved")
    for name in ("new", "moved"):
        _, (sweep,) = job_log.read(tmp_path / name)
        assert job_log.seconds_left(sweep, sweep.last) == pytest.approx(30)


def test_a_job_that_is_done_in_parts_is_not_missing(tmp_path: Path) -> None:
    whole = jobs(tmp_path, 40)[0]._replace(parts=tuple(jobs(tmp_path, 20, 20, first="part")))
    stage, log = progress.Stage([whole], 1), job_log.Log([whole], "sampling", 1)
    log.split(whole)
    stage.split(whole)
    for part in whole.parts:
        log.done(part, 1.0, 1.0)
        stage.over(part, 1.0)
    entries, (sweep,) = job_log.read(tmp_path)
    assert {name: entry.state for name, entry in entries.items()} == {"part0": "done", "part1": "done"}
    assert job_log.seconds_left(sweep, sweep.last) == stage.left() == 0 and stage.counted() == (2, 2)


def drawn(said: str) -> list[tuple[int, int]]:
    """Percent and jobs over, each time that the bar was drawn."""
    return [(int(percent), int(over)) for percent, over in re.findall(r"(\d+)%\|.*?left, (\d+) of", said)]


def test_the_bar_moves_while_one_long_job_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setattr(progress, "BEAT", 0.01)  # a tenth of a second: the test has no terminal
    runner.run_here([Job(rest, (tmp_path, 1.0), 2.0, "long")], "test")
    seen = {percent for percent, over in drawn(capsys.readouterr().err) if over == 0}
    assert len(seen) >= 4 and max(seen) > 20
    monkeypatch.setattr(progress, "BEAT", 100.0)  # the control: without a heartbeat it stands still
    runner.run_here([Job(rest, (tmp_path, 1.0), 2.0, "long")], "test")
    assert {percent for percent, over in drawn(capsys.readouterr().err) if over == 0} == {0}


def test_a_command_has_one_bar_with_named_stages(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    with progress.command("reproduce"):
        runner.run_here(jobs(tmp_path, 1, 2, 3), "mini-seed0")
        print("between")
        runner.run_here([], "mini-seed0")
        runner.run_here(jobs(tmp_path, 9, kind="affected"), "mini-seed0")
    said = capsys.readouterr()
    assert "reproduce, stage 1, mini-seed0 (rllc):" in said.err
    assert "reproduce, stage 2, mini-seed0 (affected):" in said.err
    assert said.err.splitlines()[-1].endswith("reproduce: 4 jobs in 2 stages, 00:00")
    assert said.err.count("\n") == 1 and said.out == "between\n", "bars go away, so that what is printed is clean"
    with progress.command("status"):
        pass
    runner.run_here(jobs(tmp_path, 1), "alone")
    said = capsys.readouterr()
    assert "status" not in said.err and "stage" not in said.err and "alone" in said.err


def test_a_stage_names_the_kinds_that_take_longest(tmp_path: Path) -> None:
    kinds = {"scores": 1, "rllc": 90, "paths": 20, "composition": 2}
    work = [job for kind, seconds in kinds.items() for job in jobs(tmp_path, seconds, kind=kind)]
    assert progress.label(work, "mini-seed0") == "mini-seed0 (rllc, paths, composition, ...)"
    assert progress.label(jobs(tmp_path, 1, kind=""), "test") == "test"


def test_status_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    job_log.Log(jobs(tmp_path, 90, 90, 90), "sampling", 2)
    before = {file: file.read_bytes() for file in tmp_path.rglob("*")}
    assert main(["status", str(tmp_path)]) == 0
    assert {file: file.read_bytes() for file in tmp_path.rglob("*")} == before
    said = capsys.readouterr()
    assert "3 missing of 3 jobs, about 02:15 left" in said.out and said.err == ""


def damaged(folder: Path, seconds: float) -> None:
    (folder / "step_0000030.safetensors").write_bytes(b"cut")
    tensorfile.read(folder / "step_0000030.safetensors")


def wrong(folder: Path, seconds: float) -> None:
    raise RuntimeError("a mistake")


@pytest.mark.parametrize(("function", "expected"), [(damaged, 2), (wrong, 1)])
def test_a_damaged_file_among_many_is_bad_input(
    function: Callable, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    work = [*jobs(tmp_path, 1, 2), Job(function, (tmp_path, 0.0), 1.0, "rllc at step 30")]
    monkeypatch.setattr(status, "run", lambda arguments: runner.run_here(work, "test"))
    assert main(["status", str(tmp_path)]) == expected
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("error: 1 of 3 jobs failed")
    assert ("step_0000030.safetensors is not a whole safetensors file" in last) == (expected == 2)
