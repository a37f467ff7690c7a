"""Runs that are looked at together, and all that the findings ask of them.

Learning coefficients are measured in several ways: the plan with one thing changed (text, loss, settings, gauge).
"""

import contextlib
from collections.abc import Iterable
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xarray as xr

from experiments import runs
from experiments.heldout import ablation_pass, head_types
from experiments.heldout.ablation_pass import Survey
from experiments.jobs import runner
from experiments.jobs.job import Job, JobsFailed
from experiments.measurements.plan import Plan, llc_steps
from experiments.results.cells import Cells
from experiments.tasks import bracket_effects, closer_odds, induction_cuts
from llc.settings import MINI

FEW, FEWER = 9, 5  # checkpoints that are sampled, at most: where curves are read, and where they are held against these
EARLY = 0.17  # of the training
MAIN, CODE, RELATIVE, RECALIBRATED, BALANCED = "training", "code", "one-layer", "recalibrated", "balanced"
OTHER_TEXTS = {"code": "python:code", "prose": "python:prose", "C++": "cpp"}
RANDOM = ("random 1", "random 2")
SURVIVAL = {"recalibrated settings": RECALIBRATED, "balanced gauge": BALANCED}
KINDS = ("scores", "predictions", "composition", "ablations", "paths", "circuit")  # of the main job, at all checkpoints


def ways(plan: Plan) -> dict[str, Plan]:
    """The plan of each way, by its name. Random gauges, and code in other settings, at the last checkpoint alone."""
    few, fewer, last = (replace(plan, llc_checkpoints=count) for count in (FEW, FEWER, 1))
    return {
        MAIN: few,
        RELATIVE: replace(few, reference="last"),
        CODE: replace(fewer, corpus="python:code"),
        RECALIBRATED: replace(fewer, llc=MINI),
        BALANCED: replace(fewer, gauge="balanced"),
        f"{CODE}, {RECALIBRATED}": replace(last, corpus="python:code", llc=MINI),
        f"{CODE}, {BALANCED}": replace(last, corpus="python:code", gauge="balanced"),
        f"{RELATIVE}, {RECALIBRATED}": replace(fewer, reference="last", llc=MINI),
        f"{RELATIVE}, {BALANCED}": replace(fewer, reference="last", gauge="balanced"),
        **{name: replace(last, gauge=name) for name in RANDOM},
    }


def texts(plan: Plan) -> dict[str, Plan]:
    """The plan of the whole model's coefficient on each text: its own, code, prose, and a foreign one."""
    few, fewer = (replace(plan, llc_checkpoints=count) for count in (FEW, FEWER))
    return {MAIN: few, **{name: replace(fewer, corpus=corpus) for name, corpus in OTHER_TEXTS.items()}}


def middle_step(run: runs.Run) -> int:
    """The checkpoint nearest (in log step) to 17% of the training, as the paper's early snapshot (8,500 of 50,000)."""
    later = [step for step in run.steps if step > 0]
    return min(later, key=lambda step: abs(np.log(step / (EARLY * later[-1]))))


@dataclass(frozen=True)
class Study:
    """One entry for each run (training seed)."""

    cells: tuple[Cells, ...]

    @property
    def judged(self) -> tuple[Cells, ...]:
        """The runs that verdicts come from: thresholds were fixed on the first, so without it where two others are."""
        return self.cells[1:] if len(self.cells) > 2 else self.cells

    def rllc(self, cells: Cells, way: str = MAIN) -> xr.Dataset:
        """value, se, chain_value, noise_value, ... [step, restriction] in this way; raises ValueError where it is not
        sampled yet, which takes long.
        """
        found = in_way(cells, way)
        if found.missing_rllcs():
            raise ValueError(f"rLLCs of {cells.run.name} in the way {way!r} are not sampled yet: use the verb sweep")
        return found.table("rllc")

    def types(self, cells: Cells, step: int | None = None) -> xr.Dataset:
        """`head_types.table` at a checkpoint (default: the last)."""
        return head_types.table(cells, surveyed(cells, step))

    def effects(self, cells: Cells, step: int | None = None) -> xr.Dataset:
        """`ablation_pass.kept`: the effect of removing each head (mean ablation) on every scored token."""
        return ablation_pass.kept(cells, surveyed(cells, step))

    def brackets(self, cells: Cells) -> dict[int, xr.Dataset]:
        """`bracket_effects.table` at some checkpoints."""
        return {step: bracket_effects.table(cells, step) for step in few_steps(cells)}

    def closers(self, cells: Cells, step: int) -> xr.Dataset:
        """`closer_odds.table`: the same closers at every checkpoint."""
        return closer_odds.table(cells, step)

    def induction_cuts(self, cells: Cells, step: int) -> xr.Dataset:
        """`induction_cuts.table`: of the heads that are previous-token and induction heads at the end."""
        return induction_cuts.table(cells, step)

    def curvature(self, cells: Cells) -> xr.Dataset:
        """hessian, fisher, weight_norm [step, restriction] at some checkpoints."""
        return at_few(cells).table("curvature")


def in_way(cells: Cells, way: str) -> Cells:
    return replace(cells, plan=ways(cells.plan)[way])


def at_few(cells: Cells) -> Cells:
    """Sampled at few checkpoints."""
    return replace(cells, plan=replace(cells.plan, llc_checkpoints=FEW))


def few_steps(cells: Cells) -> list[int]:
    return llc_steps(cells.run.steps, FEW)


def surveyed(cells: Cells, step: int | None = None) -> Survey:
    """The pass over held-out text that types at a checkpoint rest on."""
    return head_types.asked(cells, cells.run.steps[-1] if step is None else step)


def compute(study: Study, executor: Executor) -> None:
    """Everything that the findings need and that is missing."""
    _run_possible([task for cells in study.cells for task in _tasks(cells)], executor, "measurements")
    _run_possible([task for cells in study.cells for task in _circuit_tasks(cells)], executor, "induction circuits")
    for cells in study.cells:
        for step in (middle_step(cells.run), cells.run.steps[-1]):
            head_types.compute(cells, surveyed(cells, step), executor)


def _run_possible(tasks: list[Job], executor: Executor, description: str) -> None:
    """What a run or its text does not allow is left out: the finding that needs it says so."""
    try:
        runner.run(tasks, executor, description)
    except JobsFailed as failed:
        if not all(isinstance(error, ValueError) for error in failed.errors):
            raise


def compute_sampled(study: Study, executor: Executor) -> None:
    """The learning coefficients in all ways and on all texts, and the curvatures."""
    tables = (table for cells in study.cells for table in sampled(cells))
    runner.run([task for table in tables for task in table.tasks()], executor, "sampling")


def compute_types(study: Study, executor: Executor) -> None:
    """What each head is at the end."""
    for cells in study.cells:
        with contextlib.suppress(ValueError):  # where there is too little text, nothing can be said
            head_types.compute(cells, surveyed(cells), executor)


def compute_ways(cells: Cells, names: Iterable[str], executor: Executor) -> None:
    """Every head's coefficients in some of the ways."""
    runner.run([task for way in names for task in in_way(cells, way).tasks(("rllc",))], executor, cells.run.name)


def compute_full(cells: Cells, executor: Executor) -> None:
    """The whole model's coefficient on all texts."""
    tables = (replace(cells, plan=plan) for plan in texts(cells.plan).values())
    runner.run([task for table in tables for task in table.tasks(("full",))], executor, cells.run.name)


def compute_curvature(cells: Cells, executor: Executor) -> None:
    """Traces of the Hessian and of the Fisher information."""
    runner.run(at_few(cells).tasks(("curvature",)), executor, cells.run.name)


class Sampled(NamedTuple):
    """A table of the sweep."""

    cells: Cells
    kind: str

    def tasks(self) -> list[Job]:
        return self.cells.tasks((self.kind,))


def sampled(cells: Cells) -> list[Sampled]:
    """All tables that take long, of the texts that the run's tokenizer can write."""
    found = [Sampled(in_way(cells, way), "rllc") for way in ways(cells.plan)]
    found += [Sampled(replace(cells, plan=plan), "full") for plan in texts(cells.plan).values()]
    return [table for table in (*found, Sampled(at_few(cells), "curvature")) if _readable(table.cells, cells)]


def _readable(cells: Cells, own: Cells) -> bool:
    """Whether other texts than the run's own can be read: a vocabulary of words has no tokens for code."""
    if cells.plan.corpus == own.plan.corpus:
        return True
    try:
        return len(cells.on.train) > 0
    except ValueError:
        return False


def commit(cells: Cells) -> list[Path]:
    """Writes the tables that take long beside the bundled runs, where `Cells(committed=True)` finds them."""
    written = [table.cells.write_sweep(table.kind) for table in sampled(cells)]
    with contextlib.suppress(ValueError):
        written.append(head_types.commit(cells, surveyed(cells)))
    return written


def bracket_task(cells: Cells, step: int) -> Job:
    """`brackets` and `closers` at a checkpoint."""
    arguments = (cells.folder, cells.run.folder, cells.plan, step)
    return Job(work_brackets, arguments, 15.0, f"brackets at step {step}")


def work_brackets(results: Path, folder: Path, plan: Plan, step: int) -> None:
    """In a worker process: single closers, and their means."""
    cells = Cells(results, runs.open_run(folder), plan)
    closer_odds.table(cells, step)
    bracket_effects.table(cells, step)


def work_induction_cuts(results: Path, folder: Path, plan: Plan, step: int) -> None:
    """In a worker process."""
    induction_cuts.table(Cells(results, runs.open_run(folder), plan), step)


def _tasks(cells: Cells) -> list[Job]:
    steps = sorted({*few_steps(cells), middle_step(cells.run)})
    paths = [bracket_task(cells, step) for step in steps]
    return [*cells.tasks(KINDS), *(task for table in sampled(cells) for task in table.tasks()), *paths]


def _circuit_tasks(cells: Cells) -> list[Job]:
    """What needs the circuit's heads."""
    steps = (cells.run.steps[0], cells.run.steps[-1])
    place = (cells.folder, cells.run.folder, cells.plan)
    return [Job(work_induction_cuts, (*place, step), 20.0, f"induction cuts at step {step}") for step in steps]
