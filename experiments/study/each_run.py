"""What each run gives to a claim, why others give nothing, and whether those that do are most of the seeds."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from ablations.not_measurable import NotMeasurable
from experiments.results.cells import Cells

Given = TypeVar("Given")


def measured(runs: Sequence[Cells], of_run: Callable[[Cells], Given]) -> tuple[dict[str, Given], dict[str, str]]:
    """What each run gives, by its name, and why others give nothing (NotMeasurable).

    Raises NotMeasurable where none gives anything.
    """
    given, lacking = {}, {}
    for cells in runs:
        try:
            given[cells.run.name] = of_run(cells)
        except NotMeasurable as error:
            lacking[cells.run.name] = str(error)
    if not given:
        raise NotMeasurable("; ".join(lacking.values()) or "no run")
    return given, lacking


def most(seeds: int) -> int:
    """How many of some seeds are meant by "in most seeds": seven of eight; all where there are fewer than eight."""
    return math.ceil(7 / 8 * seeds)


class Reasons(NamedTuple):
    """Why runs do not meet a precondition, sentences without a full stop."""

    untestable: list[str]  # of judged runs, where the others are not most of the seeds: the claim cannot be tested
    remarks: list[str]  # of runs that are left out


def meeting(judged: Sequence[str], unmet: Mapping[str, str]) -> list[str]:
    """The judged runs that meet a precondition, where they are most of the seeds: verdicts are of these. Else all."""
    those = [run for run in judged if run not in unmet]
    return those if len(those) >= most(len(judged)) else [*judged]


def reasons(judged: Sequence[str], unmet: Mapping[str, str]) -> Reasons:
    """unmet: why a precondition is not met, by run; others than the judged ones leave no claim untestable."""
    ours = {run: why for run, why in unmet.items() if run in judged}
    if len(judged) - len(ours) >= most(len(judged)):
        return Reasons([], [*unmet.values()])
    return Reasons([*ours.values()], [why for run, why in unmet.items() if run not in ours])
