"""Two circuits of a task side by side, of two checkpoints or two runs, and how they differ."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from ablations.not_measurable import NotMeasurable
from ablations.running import as_in_workers
from circuits.tasks import Task
from experiments import tasks
from experiments.heldout import ablation_pass
from experiments.investigate.snapshot import Snapshot
from experiments.pages import circuit_change, saving
from experiments.pages.layout import elements
from experiments.pages.layout import page as layout
from experiments.pages.layout.page import Made, Page, Section
from experiments.tasks import circuit_difference
from experiments.tasks.circuit_difference import Difference

TOP = 20  # paths in the table


@dataclass(frozen=True)
class CircuitComparison:
    """Shows itself as sentences and a table; the numbers are in `table`. Measured when first shown or asked for."""

    first: Snapshot
    second: Snapshot
    task: str | Task

    @property
    def name(self) -> str:
        """What the task is called."""
        return tasks.name_of(self.task)

    @cached_property
    def difference(self) -> Difference:
        """All that is compared; raises NotMeasurable for models of other layers or heads, or text without prompts."""
        first, second = ((snapshot.cells, snapshot.step) for snapshot in (self.first, self.second))
        circuit_difference.check_apart(first, second)
        ends = (*first, *second, self.task)
        with as_in_workers():
            jobs = circuit_difference.missing(*ends)
            with self.first.executor(float("inf")) as executor:
                ablation_pass.run(self.first.cells, jobs, executor)
            return circuit_difference.compare(*ends)

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row for each path that is in either circuit (`circuit_difference.frame`): what changed first."""
        return circuit_difference.frame(self.difference)

    @property
    def page(self) -> Page:
        """What it shows."""
        title = f"{self.name}: {self.first.title} and {self.second.title}"
        about = "The circuits of one task at two places, path by path: what is gained, lost and changed."
        made = Made(f"inv.circuit({self.name!r}).against(...).save(path)")
        try:
            difference = self.difference
        except NotMeasurable as error:
            return Page(title, about, [], made, elements.not_measured(error))
        lines = (elements.quiet(elements.sentence(line)) for line in circuit_change.sentences(difference))
        changes = Section("What changed", circuit_change.table(difference, TOP))
        return Page(title, about, [changes], made, elements.joined(*lines))

    def save(self, path: str | Path) -> Path:
        """Writes what a notebook shows as a page (.html), or its table (.csv) by itself; returns
        the path. Raises ValueError for another suffix.
        """
        return saving.save_shown(path, self.first.cells, lambda: self.page, frame=lambda: self.table)

    def _repr_html_(self) -> str:
        return layout.cell(self.page)

    def __repr__(self) -> str:
        return (
            f"CircuitComparison({self.name}, {self.first.title} and {self.second.title}; .table is a data frame, "
            ".difference has all)"
        )
