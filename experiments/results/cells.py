"""The cells of one run and plan: which there are, which are missing, and all of a kind as one table over checkpoints.

A cell is one measured dataset under its key (`keys.key`). Any kind of measurement is asked for in the same way:

    cells.get(SCORES, step)                     one cell, measured here where it is missing
    cells.missing(SCORES, step)                 the same as a job for a sweep; nothing where it is there
    cells.missing_tables([SCORES, RLLC])        all jobs of these kinds, at all their checkpoints
    cells.table(SCORES)                         all cells of a kind, along `step`
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from ablations.names import parse_head
from ablations.not_measurable import NotMeasurable
from ablations.running import as_in_workers
from experiments import runs
from experiments.jobs import device
from experiments.jobs.job import Job
from experiments.results import committed
from experiments.results.inputs import Inputs
from experiments.results.keys import key, table_key
from experiments.results.kind import Kind, Parameters
from experiments.results.plan import Plan
from experiments.runs.run import Run
from experiments.storage import store


@dataclass(frozen=True)
class Cells:
    """The cells of a run and a plan: the folder that keeps them, and how they are asked for."""

    folder: Path
    run: Run
    plan: Plan
    committed: bool = False  # whether the committed sweep is read where it has a table or a cell; it has no traces
    device: str = ""  # that is computed on in this process: "cpu", "cuda", "cuda:1"; empty: the process's own

    @cached_property
    def inputs(self) -> Inputs:
        """What the run is measured on."""
        return Inputs(self.run, self.plan)

    def planned(self, **changes: Any) -> "Cells":
        """The same with some fields of the plan changed."""
        return replace(self, plan=replace(self.plan, **changes))

    def steps(self, kind: Kind) -> list[int]:
        """The checkpoints at which a kind is measured."""
        if kind.steps is None:
            raise TypeError(f"{kind.name} needs no checkpoint: ask for its cell")
        return kind.steps(self.run, self.plan)

    def read(self, kind: Kind, step: int | None = None, **parameters: Any) -> xr.Dataset | None:
        """One cell where it is there; else None."""
        parts = key(self.inputs, kind, step, parameters)
        stored = store.read(self.folder, parts)
        return committed.read(parts) if stored is None and self.committed and kind.keeps else stored

    @as_in_workers()
    def get(self, kind: Kind, step: int | None = None, **parameters: Any) -> xr.Dataset:
        """One cell, measured here where it is missing; raises NotMeasurable where the run or its text forbids it."""
        stored = self.read(kind, step, **parameters)
        if stored is not None:
            return stored
        self.measure(kind, step, parameters if not kind.groups else {"restrictions": [parameters["restriction"]]})
        measured = store.read(self.folder, key(self.inputs, kind, step, parameters))
        assert measured is not None
        return measured

    @as_in_workers()
    def measure(self, kind: Kind, step: int | None, parameters: Parameters) -> None:
        """Measures and stores a cell, or those of several restrictions, but for what is there by now."""
        if not kind.groups:
            parts = key(self.inputs, kind, step, parameters)
            if store.read(self.folder, parts) is None:
                with device.on(self.device):
                    measured = kind.compute(self.inputs, step, self, **parameters)
                store.keep(self.folder, parts, measured)
            return
        assert step is not None
        names = self._missing_restrictions(kind, step, parameters["restrictions"])
        with device.on(self.device):
            measured = kind.compute(self.inputs, step, self, names) if names else {}
        for name, dataset in measured.items():
            store.keep(self.folder, key(self.inputs, kind, step, {"restriction": name}), dataset)

    def missing(self, kind: Kind, step: int | None = None, **parameters: Any) -> list[Job]:
        """The job of one cell, or of the `restrictions` that are measured together; nothing where it is there."""
        if kind.groups:
            assert step is not None
            names = self._missing_restrictions(kind, step, parameters["restrictions"])
            return [self._job(kind, step, {"restrictions": names})] if names else []
        return [] if self.read(kind, step, **parameters) is not None else [self._job(kind, step, parameters)]

    def missing_tables(
        self, kinds: Iterable[Kind], steps: Sequence[int] | None = None, restrictions: Collection[str] | None = None
    ) -> list[Job]:
        """All jobs that tables of these kinds lack; of some checkpoints, or of some restrictions alone."""
        jobs = []
        for kind in kinds:
            chosen = [step for step in self.steps(kind) if steps is None or step in steps]
            groups = self._groups(kind, restrictions)
            each: list[dict] = [{"restrictions": names} for names in groups] if kind.groups else [{}]
            if self._committed_table(kind) is None:
                jobs += [job for step in chosen for which in each for job in self.missing(kind, step, **which)]
        return jobs

    @as_in_workers()
    def table(self, kind: Kind) -> xr.Dataset:
        """All cells of a kind, along `step`; measured here, as in the workers, where they are missing."""
        whole = self._committed_table(kind)
        if whole is not None:
            return whole
        with device.on(self.device):
            for job in self.missing_tables([kind]):
                job.function(*job.arguments)
        return self.assembled(kind)

    def assembled(self, kind: Kind, restrictions: Collection[str] | None = None) -> xr.Dataset:
        """What there is by now of `table`, all its steps and restrictions: NaN (text: "") where a cell is missing.

        restrictions: these alone, unless the table is there as a whole. Measures nothing, so it may be asked for while
        a sweep runs; NotMeasurable where there is no cell at all.
        """
        whole = self._committed_table(kind)
        if whole is not None:
            return whole
        names = [name for group in self._groups(kind, restrictions) for name in group]
        by_step = {}
        for step in self.steps(kind):
            if kind.groups:
                by_step[step] = _joined("restriction", {name: self._part(kind, step, name) for name in names})
            else:
                by_step[step] = self._part(kind, step)
        joined = _joined("step", by_step)
        if joined is None:
            raise NotMeasurable(f"no cell of {kind.name!r} in {self.folder}: nothing of it was measured yet")
        return joined.assign_coords(_head_coordinates(names)) if kind.groups else joined

    def commit(self, kind: Kind, step: int | None = None, **parameters: Any) -> Path:
        """Writes a kind's table, or one cell of it, beside the bundled runs, where `committed` cells are read from."""
        assert kind.keeps
        own = replace(self, committed=False)
        if step is None and not parameters and kind.steps is not None:
            return committed.write(table_key(self.inputs, kind, self.steps(kind)), kind.keeps(own.table(kind)))
        return committed.write(key(self.inputs, kind, step, parameters), kind.keeps(own.get(kind, step, **parameters)))

    def _part(self, kind: Kind, step: int, restriction: str | None = None) -> xr.Dataset | None:
        """A cell as a part of a table: without what is not committed where others of its cells may be."""
        cell = self.read(kind, step, **({"restriction": restriction} if restriction else {}))
        return kind.keeps(cell) if cell is not None and self.committed and kind.keeps else cell

    def _committed_table(self, kind: Kind) -> xr.Dataset | None:
        if not (self.committed and kind.keeps):
            return None
        return committed.read(table_key(self.inputs, kind, self.steps(kind)))

    def _groups(self, kind: Kind, among: Collection[str] | None = None) -> list[list[str]]:
        """Restrictions that are measured together, all or those among some."""
        groups = kind.groups(self.run.model_config()) if kind.groups else []
        chosen = ([name for name in names if among is None or name in among] for names in groups)
        return [names for names in chosen if names]

    def _missing_restrictions(self, kind: Kind, step: int, names: Sequence[str]) -> list[str]:
        return [name for name in names if not self._is_there(key(self.inputs, kind, step, {"restriction": name}), kind)]

    def _is_there(self, parts: dict, kind: Kind) -> bool:
        """Whether `read` gives the cell of a key: cheaper than to read it out of a committed table."""
        if store.read(self.folder, parts) is not None:
            return True
        return bool(self.committed and kind.keeps and committed.holds(parts))

    def _job(self, kind: Kind, step: int | None, parameters: Parameters) -> Job:
        names = list(parameters.get("restrictions", ()))
        half = len(names) // 2
        parts = (
            tuple(self._job(kind, step, {"restrictions": part}) for part in (names[:half], names[half:]))
            if half
            else ()
        )
        name, seconds = kind.describe(self.inputs, step, parameters), kind.cost(self.inputs, parameters)
        arguments = (self.folder, self.run.folder, self.plan, kind, step, dict(parameters))
        return Job(work, arguments, seconds, name, parts, kind.name)


def work(results: Path, run_folder: Path, plan: Plan, kind: Kind, step: int | None, parameters: Parameters) -> None:
    """The one function of all jobs: measures and stores cells that are missing, in whatever process it is called."""
    Cells(results, runs.open_run(run_folder), plan).measure(kind, step, parameters)


def _head_coordinates(names: Sequence[str]) -> dict:
    """Layer and number of heads, by their names, as coordinates of `restriction`."""
    heads = [parse_head(name) for name in names]
    return {
        "layer": ("restriction", [layer for layer, _ in heads]),
        "head": ("restriction", [number for _, number in heads]),
    }


def _joined(dim: str, parts: Mapping[Any, xr.Dataset | None]) -> xr.Dataset | None:
    """The parts that are there, along a new dimension that has all; NaN, or empty text, for the others."""
    there = {name: part for name, part in parts.items() if part is not None}
    if not there:
        return None
    table = xr.concat(there.values(), dim, combine_attrs="override", data_vars="all")
    text = {str(name): "" for name, values in table.variables.items() if values.dtype.kind in "UOT"}
    fill = dict.fromkeys(map(str, table.variables), np.nan) | text
    return table.assign_coords({dim: list(there)}).reindex({dim: list(parts)}, fill_value=fill)
