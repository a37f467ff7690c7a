"""The cells of one main job: which there are, which are missing, and all of a kind as one dataset over checkpoints."""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from ablations.names import Head, all_heads, head_name
from circuits import classify
from experiments import bench, measure, runs, store, sweep, swept
from experiments.bench import Bench
from experiments.measure import MEASUREMENTS
from experiments.measure_curvature import measure_curvature
from experiments.measure_full import measure_full
from experiments.plan import Plan, llc_steps
from llc.estimate import VERSION
from llc.settings import Settings

MEASURE = 6  # raised by hand when what a cell holds, or how it is computed, changes

MORE = {"curvature": measure_curvature, "full": measure_full}  # of the paper's other figures
SAMPLED = ("rllc", *MORE)  # on the train split, at the steps that the plan chooses

# Rough seconds of one piece on one core, for the progress bar.
COST = {"scores": 2.0, "composition": 0.2, "ablations": 5.0, "paths": 5.0, "circuit": 20.0, "predictions": 2.0}
COST |= {"curvature": 10.0, "full": 10.0}


@dataclass(frozen=True)
class Cells:
    """Where the cells of a run and a plan are kept, and at which steps each kind is measured."""

    folder: Path
    run: runs.Run
    plan: Plan
    committed: bool = False  # reads learning coefficients of the committed sweep where it has them

    @property
    def on(self) -> Bench:
        return bench.bench(self.run.folder, self.plan)

    def steps(self, kind: str) -> list[int]:
        if kind == "circuit":
            return self.run.steps[-1:]
        return llc_steps(self.run.steps, self.plan.llc_checkpoints) if kind in SAMPLED else self.run.steps

    def tasks(self, kinds: Collection[str] = (*MEASUREMENTS, "rllc")) -> list[sweep.Task]:
        """All work on these kinds that is missing."""
        tasks = self.missing_rllcs() if "rllc" in kinds else []
        for kind in (*MEASUREMENTS, *MORE):
            for step in self.steps(kind) if kind in kinds and self._sweep(kind) is None else ():
                if store.read(self.folder, key(self.on, kind, step)) is None:
                    arguments = (self.folder, self.run.folder, self.plan, kind, step)
                    tasks.append(sweep.Task(work, arguments, COST[kind]))
        return tasks

    def missing_rllcs(self) -> list[sweep.Task]:
        """One piece for the heads of a layer, which share their minibatches."""
        tasks: list[sweep.Task] = []
        if self._sweep("rllc") is not None:
            return tasks
        layers = self._layers()
        for step in self.steps("rllc"):
            for heads in layers:
                missing = [h for h in heads if store.read(self.folder, llc_key(self.on, step, h)) is None]
                if missing:
                    arguments = (self.folder, self.run.folder, self.plan, step, missing)
                    tasks.append(sweep.Task(work_rllc, arguments, rllc_cost(self.plan.llc, missing, len(layers))))
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
            return self._rllc()
        parts = [self.cell(kind, step) for step in self.steps(kind)]
        joined = xr.concat(parts, "step", combine_attrs="override", data_vars="all")
        return joined.assign_coords(step=self.steps(kind))

    def write_sweep(self, kind: str) -> Path:
        """Commits the table of a kind, computed here where it is missing."""
        return swept.write(self._sweep_key(kind), self.table(kind))

    def _sweep(self, kind: str) -> xr.Dataset | None:
        return swept.read(self._sweep_key(kind)) if self.committed and kind in SAMPLED else None

    def _sweep_key(self, kind: str) -> dict:
        """Of a whole table: the keys of its first heads, step by step."""
        steps = self.steps(kind)
        parts = [llc_key(self.on, step, (0, 0)) if kind == "rllc" else key(self.on, kind, step) for step in steps]
        weights = [part.pop("weights") for part in parts]
        return parts[-1] | {"kind": f"swept_{kind}", "step": steps[-1], "steps": steps, "weights": weights}

    def _rllc(self) -> xr.Dataset:
        for task in self.missing_rllcs():
            task.function(*task.arguments)
        heads = [head for layer in self._layers() for head in layer]
        by_step = []
        for step in self.steps("rllc"):
            cells = [store.read(self.folder, llc_key(self.on, step, head)) for head in heads]
            by_step.append(
                xr.concat([c for c in cells if c is not None], "restriction", combine_attrs="override", data_vars="all")
            )
        joined = xr.concat(by_step, "step", combine_attrs="override", data_vars="all")
        names = measure.head_coords(self.run.model_config())
        return joined.assign_coords(names | {"step": self.steps("rllc")})

    def _layers(self) -> list[list[tuple[int, int]]]:
        heads = all_heads(self.run.model_config())
        return [[h for h in heads if h[0] == layer] for layer in range(self.run.config["model"]["n_layers"])]


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


def work(results: Path, folder: Path, plan: Plan, kind: str, step: int) -> None:
    """Computes and stores one cell."""
    Cells(results, runs.open_run(folder), plan).cell(kind, step)


def work_rllc(results: Path, folder: Path, plan: Plan, step: int, heads: list[Head]) -> None:
    """Computes and stores the rLLC cells of heads of one layer."""
    on = bench.bench(folder, plan)
    for head, dataset in measure.measure_rllc(on, step, heads).items():
        store.write(results, llc_key(on, step, head), dataset)


def _weights(folder: Path, step: int) -> str:
    return hashlib.sha256(runs.checkpoint_path(folder, step).read_bytes()).hexdigest()[:16]


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
