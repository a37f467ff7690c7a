"""Long work says before it begins how long it will take, and what would take less; short work says nothing."""

from pathlib import Path

import pytest

from experiments.jobs.announcement import announce, expected, in_words, line
from experiments.jobs.job import Job


def jobs(*declared: tuple[str, float]) -> list[Job]:
    return [
        Job(print, (Path(),), seconds, f"{kind} {number}", kind=kind) for number, (kind, seconds) in enumerate(declared)
    ]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "1 s"),
        (20.4, "20 s"),
        (94.0, "94 s"),
        (96.0, "2 minutes"),
        (2400.0, "40 minutes"),
        (7200.0, "2 h"),
        (14_905.7, "4 h 10 min"),
    ],
)
def test_times_are_told_as_people_say_them(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


def test_the_line_names_what_takes_longest_and_what_takes_less() -> None:
    work = jobs(("rllc", 1800), ("rllc", 1800), ("paths", 600), ("scores", 60), ("composition", 1))
    said = line("card of L5H1", work, 2, ("--heads L5H1", lambda: jobs(("rllc", 20))))
    assert said == (
        "card of L5H1: about 36 minutes (rllc 30 minutes, paths 10 minutes, scores 60 s, ...); "
        "--heads L5H1 takes about 20 s"
    )
    assert expected(work, 1) == pytest.approx(2 * 1800 + 600 + 60 + 1)
    assert expected([], 2) == 0


def test_short_work_says_nothing_and_asks_for_nothing(capsys: pytest.CaptureFixture) -> None:
    def wrong() -> list[Job]:
        raise AssertionError("what would take less is not looked for where nothing is said")

    announce("types", jobs(("scores", 59)), 1, ("--heads L1H0", wrong))
    assert capsys.readouterr() == ("", "")
    announce("types", jobs(("scores", 61)), 1)
    assert capsys.readouterr() == ("", "types: about 61 s (scores 61 s)\n")
    with pytest.raises(AssertionError, match="what would take less"):  # negative control: it is asked for here
        announce("types", jobs(("scores", 61)), 1, ("--heads L1H0", wrong))
