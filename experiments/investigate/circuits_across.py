"""The circuits of several runs, such as seeds: how much of one task's circuit is the same in every one."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from ablations.not_measurable import NotMeasurable
from ablations.running import as_in_workers
from circuits.tasks import Task
from experiments import tasks
from experiments.heldout import ablation_pass
from experiments.investigate.investigation import Investigation
from experiments.investigate.snapshot import Snapshot
from experiments.pages import saving
from experiments.pages.across_runs import page as pages
from experiments.pages.across_runs import words
from experiments.pages.layout import elements
from experiments.pages.layout import page as layout
from experiments.pages.layout.page import Made, Page
from experiments.runs.run import Run
from experiments.tasks import circuit_across, circuit_difference, own_task
from experiments.tasks.circuit_across import ManyCircuits

TOP = 40  # paths in the table


def across(
    task: str | Path | Task, runs: Sequence[str | Path | Run | Investigation], **of_all: Any
) -> "CircuitsAcross":
    """One task's circuit in several runs at their last checkpoints, or in several investigations as they are.

    task: a task of the runs' text by its name, a file of one's own, or a `Task`, as `Investigation.circuit` takes it.
    runs: two or more of one shape, on the same text; names of heads and paths are those of the first. of_all: arguments
    of `Investigation` for runs that are given by name, folder or value. Raises ValueError as `Investigation` does, for
    fewer than two runs and for one twice, and NotMeasurable for models of other layers or heads than the first's.
    """
    if isinstance(runs, str | Path):
        raise ValueError(f"runs={runs!r}: give a list of two or more")
    if isinstance(task, str):
        tasks.check_asked(task)
    snapshots = [(each if isinstance(each, Investigation) else Investigation(each, **of_all)).snapshot for each in runs]
    circuit_across.check_apart([(snapshot.cells, snapshot.step) for snapshot in snapshots])
    return CircuitsAcross(tuple(snapshots), own_task.opened(task, snapshots[0].cells.run))


@dataclass(frozen=True)
class CircuitsAcross:
    """Shows itself as sentences and tables; the numbers are in `table` and `heads`. Measured when first asked for."""

    snapshots: tuple[Snapshot, ...]
    task: str | Task

    @cached_property
    def many(self) -> ManyCircuits:
        """All that is told; raises NotMeasurable for runs with other prompts or tokens than the first, for text without
        prompts, and where no path is found in any run.
        """
        places = [(snapshot.cells, snapshot.step) for snapshot in self.snapshots]
        circuit_across.check_prompts(places, self.task)
        with as_in_workers():
            jobs = circuit_difference.missing_of(places, self.task)
            with self.snapshots[0].executor(sum(job.seconds for job in jobs)) as executor:
                ablation_pass.run(places[0][0], jobs, executor)
            return circuit_across.compare(places, self.task)

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row for each path that is found in any run (`circuit_across.frame`), those in most runs first."""
        return circuit_across.frame(self.many)

    @cached_property
    def heads(self) -> pd.DataFrame:
        """One row for each head of the first run, with its partners in the others (`circuit_across.heads_frame`)."""
        return circuit_across.heads_frame(self.many)

    @property
    def core(self) -> list[str]:
        """The paths that are found in every run, by the first run's names, the largest effect first."""
        return circuit_across.core_names(self.many)

    @property
    def page(self) -> Page:
        """What it shows."""
        made = Made(f"dc.across({tasks.name_of(self.task)!r}, {[*self._runs]}).save(path)")
        try:
            return pages.page(self.many, TOP, made)
        except NotMeasurable as error:
            title = pages.title(tasks.name_of(self.task), self._runs)
            return Page(title, pages.ABOUT, [], made, elements.not_measured(error))

    @property
    def _runs(self) -> tuple[str, ...]:
        return tuple(snapshot.cells.run.name for snapshot in self.snapshots)

    def save(self, path: str | Path) -> Path:
        """Writes what a notebook shows as a page (.html), or its table of paths (.csv) by itself; returns the path.
        Raises ValueError for another suffix.
        """
        return saving.save_shown(path, self.snapshots[0].cells, lambda: self.page, frame=lambda: self.table)

    def _repr_html_(self) -> str:
        return layout.cell(self.page)

    def __repr__(self) -> str:
        head = f"CircuitsAcross({tasks.name_of(self.task)}, {words.listed([*self._runs])}; .table has the paths, "
        head += ".heads the partners, .core what is in every run)"
        try:
            return "\n".join([head, *(elements.sentence(line) for line in words.sentences(self.many))])
        except NotMeasurable as error:
            return f"{head}\nNot measured: {error}"
