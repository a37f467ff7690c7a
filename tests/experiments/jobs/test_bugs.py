"""What is said of the input is one line; a bug, which may be a ValueError too, keeps its traceback."""

from pathlib import Path

import numpy as np
import pytest

from ablations.names import parse_head
from ablations.not_measurable import NotMeasurable
from experiments.__main__ import main
from experiments.cli import status
from experiments.jobs import executors, runner
from experiments.jobs.bugs import Bug, is_about_input
from experiments.jobs.job import Job, JobsFailed


def no_head(folder: Path) -> None:
    parse_head("nonsense")


def ill_shaped(folder: Path) -> None:
    np.concatenate([np.zeros(2), np.zeros((2, 2))])


def no_number(folder: Path) -> None:
    int("seven")


def not_measurable(folder: Path) -> None:
    raise NotMeasurable("the text is too short")


@pytest.mark.parametrize(
    ("function", "about_input"), [(no_head, True), (not_measurable, True), (ill_shaped, False), (no_number, False)]
)
def test_only_our_own_raise_speaks_of_the_input(function, about_input: bool, tmp_path: Path) -> None:
    with pytest.raises(ValueError) as caught:
        function(tmp_path)
    assert is_about_input(caught.value) == about_input


@pytest.mark.parametrize("workers", [0, 1])
def test_jobs_tell_bugs_from_bad_input(workers: int, tmp_path: Path) -> None:
    def run(function) -> None:
        jobs = [Job(function, (tmp_path,), 1.0, f"job {number}") for number in range(2)]
        if not workers:
            return runner.run_here(jobs, "test")
        with executors.pool(workers) as executor:
            runner.run(jobs, executor, "test")

    with pytest.raises(ValueError, match="'nonsense' is not a head"):
        run(no_head)
    with pytest.raises(NotMeasurable, match="too short"):
        run(not_measurable)
    with pytest.raises(JobsFailed, match="Bug: ValueError: all the input arrays") as failed:
        run(ill_shaped)
    assert all(isinstance(error, Bug) for error in failed.value.errors)


def test_a_bug_in_a_verb_is_no_bad_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    assert main(["status", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("error: ")
    monkeypatch.setattr(status, "run", lambda arguments: ill_shaped(tmp_path))
    with pytest.raises(ValueError, match="all the input arrays"):
        main(["status", str(tmp_path)])
