"""The cells of one main job: which there are, which are missing, and all of a kind as one dataset over checkpoints."""

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from ablations.names import Head, all_heads, head_name
from circuits import classify
from experiments import runs
from experiments.jobs.job import Job
from experiments.measurements import inputs as bench
from experiments.measurements import kinds as measure
from experiments.measurements.curvature import measure_curvature
from experiments.measurements.full_llc import measure_full
from experiments.measurements.inputs import Bench
from experiments.measurements.kinds import MEASUREMENTS
from experiments.measurements.plan import Plan, llc_steps
from experiments.results import committed
from experiments.storage import store
from llc.estimate import VERSION
from llc.settings import Settings

MEASURE = 6  # raised by hand when what a cell holds, or how it is computed, changes

MORE = {"curvature": measure_curvature, "full": measure_full}  # of the paper's other figures
SAMPLED = ("rllc", *MORE)  # on the train split, at the steps that the plan chooses

# Rough seconds of one job on one core, for the progress bar.
COST = {"scores": 2.0, "composition": 0.2, "ablations": 5.0, "paths": 5.0, "circuit": 20.0, "predictions": 2.0}
COST |= {"curvature": 10.0, "full": 10.0}


@dataclass(frozen=True)
class Cells:
    """Where the cells of a run and a plan are kept, and at which steps each kind is measured."""

    folder: Path
    run: runs.Run
    plan: Plan
    committed: bool = False  # reads learning coefficients and types of the committed sweep where it has them

    @property
    def on(self) -> Bench:
        return bench.bench(self.run.folder, self.plan)

    def steps(self, kind: str) -> list[int]:
        """Where a kind is measured; raises ValueError for a kind that there is not."""
        kinds = ("rllc", *MEASUREMENTS, *MORE)
        if kind not in kinds:
            raise ValueError(f"unknown kind of cells {kind!r}: choose from {', '.join(kinds)}")
        if kind == "circuit":
            return self.run.steps[-1:]
        return llc_steps(self.run.steps, self.plan.llc_checkpoints) if kind in SAMPLED else self.run.steps

    def tasks(self, kinds: Collection[str] = (*MEASUREMENTS, "rllc")) -> list[Job]:
        """All work on these kinds that is missing."""
        tasks = self.missing_rllcs() if "rllc" in kinds else []
        for kind in (*MEASUREMENTS, *MORE):
            for step in self.steps(kind) if kind in kinds and self._sweep(kind) is None else ():
                if store.read(self.folder, key(self.on, kind, step)) is None:
                    arguments = (self.folder, self.run.folder, self.plan, kind, step)
                    tasks.append(Job(work, arguments, COST[kind], _name(self.plan, kind, step)))
        return tasks

    def missing_rllcs(self) -> list[Job]:
        """One job for the heads of a layer, which share their minibatches."""
        tasks: list[Job] = []
        if self._sweep("rllc") is not None:
            return tasks
        layers = self._layers()
        for step in self.steps("rllc"):
            for heads in layers:
                missing = missing_heads(self.folder, self.on, step, heads)
                if missing:
                    tasks.append(rllc_task(self, step, missing))
        return tasks

    def cell(self, kind: str, step: int) -> xr.Dataset:
        """One cell, computed here where it is missing."""
        return store.cached(self.folder, key(self.on, kind, step), partial((MEASUREMENTS | MORE)[kind], self.on, step))

    def table(self, kind: str) -> xr.Dataset:
        """All cells of a kind, along `step`; computed here, with this process's threads, where they are missing."""
        found = self._sweep(kind)
        if found is not None:
            return found
        if kind == "rllc":
            for task in self.missing_rllcs():
                task.function(*task.arguments)
        else:
            for step in self.steps(kind):
                self.cell(kind, step)
        return self.assembled(kind)

    def assembled(self, kind: str) -> xr.Dataset:
        """What there is by now of `table`, all its steps and restrictions: NaN (text: "") where a cell is missing.

        Computes nothing, so it may be asked for while a sweep runs; ValueError where there is no cell at all.
        """
        found = self._sweep(kind)
        if found is not None:
            return found
        names = measure.head_coords(self.run.model_config())
        heads = [head for layer in self._layers() for head in layer]
        by_step = {}
        for step in self.steps(kind):
            if kind != "rllc":
                by_step[step] = store.read(self.folder, key(self.on, kind, step))
                continue
            by_head = {head_name(head): store.read(self.folder, llc_key(self.on, step, head)) for head in heads}
            by_step[step] = _joined("restriction", by_head)
        found = _joined("step", by_step)
        if found is None:
            raise ValueError(f"no cell of {kind!r} in {self.folder}: nothing of it was computed yet")
        return found.assign_coords(names) if kind == "rllc" else found

    def write_sweep(self, kind: str) -> Path:
        """Commits the table of a kind, computed here where it is missing."""
        return committed.write(self._sweep_key(kind), self.table(kind))

    def _sweep(self, kind: str) -> xr.Dataset | None:
        return committed.read(self._sweep_key(kind)) if self.committed and kind in SAMPLED else None

    def _sweep_key(self, kind: str) -> dict:
        """Of a whole table: the keys of its first heads, step by step."""
        steps = self.steps(kind)
        parts = [llc_key(self.on, step, (0, 0)) if kind == "rllc" else key(self.on, kind, step) for step in steps]
        weights = [part.pop("weights") for part in parts]
        return parts[-1] | {"kind": f"swept_{kind}", "step": steps[-1], "steps": steps, "weights": weights}

    def _layers(self) -> list[list[tuple[int, int]]]:
        heads = all_heads(self.run.model_config())
        return [[h for h in heads if h[0] == layer] for layer in range(self.run.config["model"]["n_layers"])]


def _joined(dim: str, parts: Mapping[Any, xr.Dataset | None]) -> xr.Dataset | None:
    """Those parts that are there, along a new dimension that has all; NaN, or empty text, for the others."""
    there = {name: part for name, part in parts.items() if part is not None}
    if not there:
        return None
    table = xr.concat(there.values(), dim, combine_attrs="override", data_vars="all")
    text = {str(name): "" for name, values in table.variables.items() if values.dtype.kind in "UOT"}
    fill = dict.fromkeys(map(str, table.variables), np.nan) | text
    return table.assign_coords({dim: list(there)}).reindex({dim: list(parts)}, fill_value=fill)


def rllc_task(cells: Cells, step: int, heads: list[Head]) -> Job:
    """The chains of heads of one layer; in halves where memory runs out."""
    arguments = (cells.folder, cells.run.folder, cells.plan, step, heads)
    cost = rllc_cost(cells.plan.llc, heads, cells.run.config["model"]["n_layers"])
    name = f"{_name(cells.plan, 'rllc', step)}, {' '.join(head_name(head) for head in heads)}"
    half = len(heads) // 2
    halves = tuple(rllc_task(cells, step, part) for part in (heads[:half], heads[half:])) if half else ()
    return Job(work_rllc, arguments, cost, name, halves)


def rllc_cost(settings: Settings, heads: list[Head], n_layers: int) -> float:
    """Rough seconds on one core of the chains of heads of one layer: more where layers after it run again."""
    rows = settings.num_chains * settings.num_draws * len(heads) * settings.batch_size
    return 0.004 * rows * (1 + 1.7 * (n_layers - 1 - heads[0][0]))


def tokens_seen(run: runs.Run, steps: ArrayLike) -> np.ndarray:
    """Tokens trained on at these steps, in millions."""
    return np.asarray(steps) * run.tokens_per_step / 1e6


def key(on: Bench, kind: str, step: int) -> dict:
    """All that a cell depends on."""
    return {
        "kind": kind,
        "run": on.run.name,
        "step": step,
        "weights": _weights(on.run.folder, step),
        "data": (on.train if kind in SAMPLED else on.corpus).fingerprint,
        "plan": _relevant(on.plan, kind),
        "version": [MEASURE, VERSION],
    }


def llc_key(on: Bench, step: int, head: Head) -> dict:
    found = key(on, "rllc", step) | {"restriction": head_name(head)}
    if on.plan.reference:
        found["reference"] = _weights(on.reference_run().folder, on.reference_step(step))
    return found


def missing_heads(results: Path, on: Bench, step: int, heads: Iterable[Head]) -> list[Head]:
    """Those whose rLLC cells are not there."""
    return [head for head in heads if store.read(results, llc_key(on, step, head)) is None]


def work(results: Path, folder: Path, plan: Plan, kind: str, step: int) -> None:
    """Computes and stores one cell."""
    Cells(results, runs.open_run(folder), plan).cell(kind, step)


def work_rllc(results: Path, folder: Path, plan: Plan, step: int, heads: list[Head]) -> None:
    """Computes and stores the rLLC cells of heads of one layer, but for those that are there by now."""
    on = bench.bench(folder, plan)
    missing = missing_heads(results, on, step, heads)
    for head, dataset in measure.measure_rllc(on, step, missing).items() if missing else ():
        store.keep(results, llc_key(on, step, head), dataset)


def _name(plan: Plan, kind: str, step: int) -> str:
    """Of a job of work, for a person to read."""
    llc = plan.llc
    settings = f"{llc.name} (lr {llc.lr:g}, localization {llc.localization:g}, nbeta {llc.nbeta:g})"
    how = (plan.corpus, settings, plan.reference and f"reference {plan.reference}", plan.gauge)
    return ", ".join([f"{kind} at step {step}", *(part for part in how if part and kind in SAMPLED)])


def _weights(folder: Path, step: int) -> str:
    path = runs.checkpoint_path(folder, step)
    return _digest(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=4096)
def _digest(path: Path, changed: int) -> str:
    """Every cell's key asks for it, and large checkpoints take a second to read."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def _relevant(plan: Plan, kind: str) -> dict:
    """The part of the plan that a kind of cell depends on, so that other changes keep it."""
    record = plan.record()
    if kind in SAMPLED:
        named = {"rllc": ("llc", "gauge"), "full": ("llc",), "curvature": ()}[kind]
        return {name: record[name] for name in ("corpus", "sampled_rows", "seed", *named) if record[name] != ""}
    sampling = ("sampled_rows", "llc", "llc_checkpoints", "reference", "gauge", "affected_tokens")
    chosen = {name: value for name, value in record.items() if name not in sampling}
    if kind == "circuit":
        chosen |= {"previous_token": classify.PREVIOUS_TOKEN, "prefix_matching": classify.PREFIX_MATCHING}
    return chosen
