"""Which runs give something to a claim, and whether they are most of the seeds."""

from typing import NamedTuple

import pytest

from ablations.not_measurable import NotMeasurable
from experiments.study import each_run


class Run(NamedTuple):
    name: str


class Cells(NamedTuple):
    run: Run


RUNS = [Cells(Run("a")), Cells(Run("b"))]


def gives(cells: Cells, names: str) -> int:
    if cells.run.name not in names:
        raise NotMeasurable(f"{cells.run.name} has one layer")
    return 3


def test_runs_that_give_nothing_say_why() -> None:
    given, lacking = each_run.measured(RUNS, lambda cells: gives(cells, "b"))  # type: ignore[arg-type]
    assert given == {"b": 3} and lacking == {"a": "a has one layer"}
    with pytest.raises(NotMeasurable, match="a has one layer; b has one layer"):
        each_run.measured(RUNS, lambda cells: gives(cells, ""))  # type: ignore[arg-type]
    with pytest.raises(ZeroDivisionError):  # any other error is a bug and comes out as itself
        each_run.measured(RUNS, lambda cells: 1 // 0)  # type: ignore[arg-type]


def test_most_are_seven_of_eight_and_all_of_fewer() -> None:
    assert [each_run.most(seeds) for seeds in (1, 2, 7, 8, 9, 16, 17)] == [1, 2, 7, 7, 8, 14, 15]


def test_runs_that_lack_something_are_left_out_or_leave_the_claim_untestable() -> None:
    eight = [f"seed{number}" for number in range(8)]
    one, two = {"seed3": "few"}, {"seed3": "few", "seed4": "fewer"}
    assert each_run.meeting(eight, one) == [run for run in eight if run != "seed3"]
    assert each_run.reasons(eight, one) == ([], ["few"])
    assert each_run.meeting(eight, two) == eight
    assert each_run.reasons(eight, two) == (["few", "fewer"], [])
    assert each_run.reasons(eight[4:], two) == (["fewer"], ["few"])  # of a run that no verdict comes from
    assert each_run.reasons(eight[5:], two) == ([], ["few", "fewer"])
