"""A run at one of its checkpoints, as cards, tables and comparisons look at it: what they share, and who computes it.

What is missing is computed when it is asked for, on one torch thread: as in the workers, so that a cell has the same
bits wherever it is made.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import cached_property

import torch
import xarray as xr
from transformer_lens import HookedTransformerConfig

from ablations import forward
from ablations.forward import Weights
from ablations.names import all_heads, head_name
from experiments.heldout import ablation_pass, head_overlap, head_types
from experiments.heldout.ablation_pass import Survey
from experiments.jobs import executors, runner
from experiments.jobs.job import Job, JobsFailed
from experiments.measurements import inputs as bench
from experiments.results import cells
from experiments.results.cells import Cells
from experiments.storage import store


@dataclass(frozen=True)
class Snapshot:
    """Where results are (`cells`), the checkpoint, and who computes."""

    cells: Cells
    step: int
    tokens: int | None = None  # of held-out text that types rest on; None: 500,000, or all where there are fewer
    workers: int | Executor = 1  # processes (1: this one), or an executor

    @property
    def title(self) -> str:
        return f"{self.cells.run.name}, step {self.step}"

    @cached_property
    def cfg(self) -> HookedTransformerConfig:
        return self.cells.run.model_config()

    @property
    def heads(self) -> list[str]:
        return [head_name(head) for head in all_heads(self.cfg)]

    @property
    def weights(self) -> Weights:
        return forward.weights_of(bench.model(self.cells.run.folder, self.step))

    def compute(self, jobs: Sequence[Job], what: str) -> None:
        """Stores what is missing. What the run or its text does not allow is left out: who reads it says so."""
        if not jobs:
            return
        seconds = sum(job.seconds for job in jobs)
        with one_thread(), self.executor(seconds) as executor, suppress(ValueError), _as_value_error():
            runner.run(jobs, executor, f"{self.cells.run.name}: {what}")

    def executor(self, seconds: float) -> AbstractContextManager[Executor]:
        """Who computes so much: this process where starting others takes longer."""
        if isinstance(self.workers, Executor):
            return nullcontext(self.workers)
        here = self.workers == 1 or seconds < ablation_pass.WORTH_WORKERS
        return nullcontext(executors.Here()) if here else executors.pool(self.workers)

    @cached_property
    def types(self) -> xr.Dataset:
        """`head_types.table`; raises ValueError where the text does not allow it."""
        wanted = head_types.asked(self.cells, self.step, self.tokens)
        found = head_types.known(self.cells, wanted)
        if found is not None:
            return found
        with one_thread():
            with self.executor(float("inf")) as executor, _as_value_error():
                head_types.compute(self.cells, wanted, executor)
            return head_types.table(self.cells, wanted)

    def rllc(self) -> xr.Dataset:
        """value, se, verdict, ... [step, restriction] of what is sampled by now; raises ValueError where nothing is."""
        return self.cells.assembled("rllc")

    def missing_rllcs(self, layers: Sequence[int], steps: Sequence[int] | None = None) -> list[Job]:
        """What is to be sampled of these layers, by default at all checkpoints that are sampled."""
        chosen = self.cells.steps("rllc") if steps is None else steps
        jobs = [(job, *job.arguments[3:]) for job in self.cells.missing_rllcs()]
        return [job for job, step, heads in jobs if step in chosen and heads[0][0] in layers]

    @cached_property
    def effects(self) -> Survey:
        """The pass over the text with every head removed by itself (its mean in its place), computed; raises
        ValueError where the text does not allow it.
        """
        wanted = head_overlap.asked(self.cells, self.step)
        if wanted is None:
            raise ValueError("rows are too short, or no held-out text is left: use more text")
        self.compute(ablation_pass.missing(self.cells, wanted), "effects of all heads")
        return wanted

    def missing_cells(self, *kinds: str) -> list[Job]:
        """Of the cells at this checkpoint."""
        place = (self.cells.folder, self.cells.run.folder, self.cells.plan)
        return [
            Job(cells.work, (*place, kind, self.step), cells.COST[kind], f"{kind} at step {self.step}")
            for kind in kinds
            if store.read(self.cells.folder, cells.key(self.cells.on, kind, self.step)) is None
        ]


@contextmanager
def _as_value_error() -> Iterator[None]:
    """Jobs that all failed since the run or its text does not allow them raise the first one's reason."""
    try:
        yield
    except JobsFailed as failed:
        if all(isinstance(error, ValueError) for error in failed.errors):
            raise failed.errors[0] from None
        raise


@contextmanager
def one_thread() -> Iterator[None]:
    """Measurements have one; what the caller does afterwards has as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
