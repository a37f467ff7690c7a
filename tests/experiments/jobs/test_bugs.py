"""What is said of the input is one line; a bug, which may be a ValueError too, keeps its traceback."""

import contextlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ablations.names import parse_head
from ablations.not_measurable import NotMeasurable
from circuits import scores
from experiments.__main__ import main
from experiments.cli import status
from experiments.cli.calibrate import _nbeta
from experiments.jobs import executors, job_log, runner
from experiments.jobs.bugs import Bug, is_about_input
from experiments.jobs.job import Job, JobsFailed
from experiments.measurements.rllc import _rescaled
from tests.conftest import make_model


def no_head(folder: Path) -> None:
    parse_head("nonsense")


def ill_shaped(folder: Path) -> None:
    np.concatenate([np.zeros(2), np.zeros((2, 2))])


def no_number(folder: Path) -> None:
    int("seven")


def ill_shaped_in_our_code(folder: Path) -> None:
    scores.random_rows(np.arange(20), 0, 2, 0)  # calls np.stack on no rows


def no_number_in_our_code(folder: Path) -> None:
    _rescaled(make_model(), "random seven")  # calls int("seven")


def not_measurable(folder: Path) -> None:
    raise NotMeasurable("the text is too short")


def out_of_memory(folder: Path) -> None:
    raise MemoryError("too little memory")


def told_by_another(folder: Path) -> None:
    raise ValueError("raised in no file of the program")


def told_anew(folder: Path) -> None:
    _nbeta("seven", 10)  # catches what float() raises, and raises its own


@pytest.mark.parametrize(
    ("function", "about_input"),
    [
        *((function, True) for function in (no_head, not_measurable, told_anew)),
        *((function, False) for function in (ill_shaped, no_number, ill_shaped_in_our_code, no_number_in_our_code)),
        (told_by_another, False),
    ],
)
def test_only_our_own_raise_speaks_of_the_input(function, about_input: bool, tmp_path: Path) -> None:
    with pytest.raises(ValueError) as caught:
        function(tmp_path)
    assert is_about_input(caught.value) == about_input


@pytest.mark.parametrize("workers", [0, 1])
def test_jobs_tell_bugs_from_bad_input(workers: int, tmp_path: Path) -> None:
    with executors.pool(workers) if workers else contextlib.nullcontext(executors.Here()) as executor:

        def run(function: Callable[[Path], None]) -> None:
            jobs = [Job(function, (tmp_path,), 1.0, f"job {number}") for number in range(2)]
            runner.run(jobs, executor, "test")

        with pytest.raises(ValueError, match="'nonsense' is not a head"):
            run(no_head)
        with pytest.raises(NotMeasurable, match="too short"):
            run(not_measurable)
        for function, message in (
            (ill_shaped, "all the input arrays"),
            (ill_shaped_in_our_code, "need at least one array"),
            (no_number_in_our_code, "invalid literal for int"),
            (told_by_another, "raised in no file of the program"),
        ):
            with pytest.raises(JobsFailed, match=f"Bug: ValueError: {message}") as failed:
                run(function)
            assert all(isinstance(error, Bug) and error.__cause__ for error in failed.value.errors)
            events = [json.loads(line) for line in (tmp_path / job_log.NAME).read_text().splitlines()]
            kept = [event for event in events if event["event"] == "failed"][-1]["traceback"]
            assert function.__name__ in kept and message in kept
        assert not any("traceback" in event for event in events if "not a head" in event.get("error", ""))


def test_a_bug_in_a_job_keeps_its_traceback_on_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def sweep(function: Callable[[Path], None]) -> tuple[int, str]:
        jobs = [Job(function, (tmp_path,), 1.0, f"job {number}") for number in range(2)]
        monkeypatch.setattr(status, "run", lambda arguments: runner.run_here(jobs, "test"))
        return main(["status", str(tmp_path)]), capsys.readouterr().err

    code, said = sweep(ill_shaped)
    assert code == 1 and "in ill_shaped" in said and said.splitlines()[-1].startswith("error: 2 of 2 jobs failed")
    code, said = sweep(out_of_memory)  # the control: no bug
    assert code == 1 and "Traceback" not in said


def test_a_bug_in_a_verb_is_no_bad_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    assert main(["status", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("error: ")
    monkeypatch.setattr(status, "run", lambda arguments: ill_shaped(tmp_path))
    with pytest.raises(ValueError, match="all the input arrays") as caught:
        main(["status", str(tmp_path)])
    assert caught.traceback[-1].name == "ill_shaped" and capsys.readouterr().err == ""
    monkeypatch.setattr(status, "run", lambda arguments: no_head(tmp_path))
    assert main(["status", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: 'nonsense' is not a head") and said.count("\n") == 1
