"""A discovered circuit that shows itself: sentences, the picture, the strongest paths."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import networkx as nx
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from ablations.not_measurable import NotMeasurable
from ablations.running import as_in_workers
from circuits.tasks import Task
from experiments import tasks
from experiments.heldout import ablation_pass, head_types
from experiments.investigate.circuit_comparison import CircuitComparison
from experiments.investigate.snapshot import Snapshot
from experiments.jobs.job import Job
from experiments.pages import circuit_files, circuit_page, circuit_rivals, circuit_words, saving
from experiments.pages.circuit_rivals import Compared
from experiments.pages.layout import elements
from experiments.pages.layout import page as layout
from experiments.pages.layout.page import Made, Page
from experiments.plots import circuit as picture
from experiments.tasks import discovery, own_prompts, positions
from experiments.tasks.discovery import Discovered

TOP = 12  # paths in the table


@dataclass(frozen=True)
class FoundCircuit:
    """The circuit of a task at a checkpoint; discovered when it is first shown or asked for.

    Raises ValueError for no task.
    """

    snapshot: Snapshot
    task: str | Task

    def __post_init__(self) -> None:
        if isinstance(self.task, str):
            tasks.check(self.task)

    @property
    def name(self) -> str:
        """What the task is called."""
        return tasks.name_of(self.task)

    @property
    def _asked(self) -> str:
        """What tells the task apart: its name, or the content of one's own."""
        return self.task if isinstance(self.task, str) else own_prompts.fingerprint(self.task)

    @cached_property
    def found(self) -> Discovered:
        """All that discovery gives; raises NotMeasurable where the text has no prompts for the task."""
        cells, step = self.snapshot.cells, self.snapshot.step
        with as_in_workers():
            self._compute(discovery.missing)
            self._compute(discovery.missing_of_circuit)
            return discovery.discover_circuit(cells, self.task, step, head_types.labels(cells, step))

    def _compute(self, missing: Callable[..., list[Job]]) -> None:
        """Computes what one of `discovery`'s functions says is missing."""
        cells, step = self.snapshot.cells, self.snapshot.step
        with self.snapshot.executor(float("inf")) as executor:
            ablation_pass.run(cells, missing(cells, self.task, step), executor)

    @property
    def graph(self) -> nx.DiGraph:
        """Every path that was measured, as `circuits.graph` describes it."""
        return self.found.graph

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row for each path, the largest effect first."""
        return discovery.frame(self.found)

    @cached_property
    def positions(self) -> pd.DataFrame:
        """From where to where its paths carry the task, by roles of positions, as `experiments.tasks.positions.measure`
        has it; the largest effect first.
        """
        return positions.frame(self.found.positions)

    @cached_property
    def compared(self) -> Compared:
        """Rival circuits, and faithfulness over circuit size by several scores; a minute on `mini-seed0`."""
        _ = self.found
        with as_in_workers():
            self._compute(partial(discovery.missing_of_circuit, thorough=True))
            return circuit_rivals.compared(self.snapshot.cells, self.task, self.snapshot.step)

    @property
    def attended(self) -> dict[str, pd.DataFrame]:
        """Why its heads look where they do on the prompts, by name, as pairs of sources (`circuits.score_pairs`)."""
        return self.found.attended

    @property
    def self_repair(self) -> xr.Dataset:
        """What later heads take over from each head: total against direct effect (`experiments.tasks.self_repair`)."""
        return self.found.self_repair

    def against(self, other: "FoundCircuit") -> CircuitComparison:
        """The circuit of another checkpoint or run against this one: paths gained, lost, changed, moved; how universal.

        Raises ValueError for a circuit of another task, and of the same checkpoint.
        """
        if other._asked != self._asked:
            raise ValueError(f"{self.name} and {other.name}: compare circuits of one task")
        return CircuitComparison(self.snapshot, other.snapshot, self.task)

    @property
    def page(self) -> Page:
        """What it shows: less than the page that the command line writes, which has how it formed, too."""
        title = f"{self.snapshot.title}: paths that carry {self.name}"
        made = Made(f"inv.circuit({self.name!r}).save(path)", self.snapshot.cells.run.name)
        try:
            discovered = self.found
        except NotMeasurable as error:
            return Page(title, "A circuit that could not be looked for.", [], made, elements.not_measured(error))
        return circuit_page.page(
            title,
            circuit_words.sentences(discovered),
            [
                circuit_files.pictured(
                    picture.draw(discovered.graph, ""), "The circuit", f"{title}. {circuit_words.WIDTHS}"
                )
            ],
            circuit_page.table(self.table.head(TOP), circuit_words.explanation(discovered)),
            circuit_files.details(discovered, self.positions, TOP),
            made,
        )

    def save(self, path: str | Path) -> Path:
        """Writes what a notebook shows as a page (.html), or its picture (.png, .svg, .pdf) or table (.csv) by itself;
        returns the path. Raises ValueError for another suffix.
        """
        return saving.save_shown(path, self.snapshot.cells, lambda: self.page, self.plot, lambda: self.table)

    def plot(self) -> Figure:
        """The picture of the circuit; raises NotMeasurable where the text has no prompts for the task."""
        return picture.draw(self.graph, f"{self.snapshot.title}: paths that carry {self.name}")

    def _repr_html_(self) -> str:
        return layout.cell(self.page)

    def __repr__(self) -> str:
        return f"FoundCircuit({self.name}, {self.snapshot.title}; .graph is a networkx graph, .table a data frame)"
