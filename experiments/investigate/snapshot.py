"""A run at one of its checkpoints, as cards, tables and comparisons look at it: what they share, and who computes it.

What is missing is computed when it is asked for, as in the workers (`as_in_workers`), so that a cell has the same bits
wherever it is made.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import cached_property

import xarray as xr
from torch import Tensor

from ablations import forward, substitutes
from ablations.forward import Weights
from ablations.models import Config
from ablations.names import Head, all_heads, head_name, parse_head
from ablations.not_measurable import NotMeasurable
from ablations.running import as_in_workers
from experiments.heldout import ablation_pass, head_overlap, head_types
from experiments.heldout.ablation_pass import AblationPass
from experiments.jobs import device, executors, runner
from experiments.jobs.job import Job, JobsFailed
from experiments.measurements import variants
from experiments.measurements.paths import PATHS
from experiments.measurements.rllc import RLLC
from experiments.results.cells import Cells


@dataclass(frozen=True)
class Snapshot:
    """A checkpoint, the `cells` with its results, and the executor that computes."""

    cells: Cells
    step: int
    tokens: int | None = None  # of held-out text that types rest on; None: 500,000, or all where there are fewer
    workers: int | Executor = 1  # processes (1: this one), or an executor
    only: tuple[str, ...] = ()  # the heads that are looked at; all where it is empty

    @property
    def title(self) -> str:
        """The run and the checkpoint, for a person to read."""
        return f"{self.cells.run.name}, step {self.step}"

    @cached_property
    def cfg(self) -> Config:
        """The model's configuration."""
        return self.cells.run.model_config()

    @property
    def heads(self) -> list[str]:
        """The names of the heads that are looked at."""
        return [*self.only] or [head_name(head) for head in all_heads(self.cfg)]

    @property
    def weights(self) -> Weights:
        """The checkpoint's weights by name."""
        return forward.weights_of(self.cells.inputs.model(self.step))

    @cached_property
    def mean_z(self) -> dict[Head, Tensor]:
        """What stands in for a head under mean ablation: its mean z over the reference rows of held-out text [d_head].

        Raises NotMeasurable where there are none.
        """
        return substitutes.mean_z(self.weights, self.cfg, self.cells.inputs.reference)

    def compute(self, jobs: Sequence[Job], what: str) -> None:
        """Stores what is missing. What the run or its text does not allow is left out: who reads it says so."""
        if not jobs:
            return
        seconds = sum(job.seconds for job in jobs)
        with as_in_workers(), self.executor(seconds) as executor, suppress(NotMeasurable), _first_reason():
            runner.run(jobs, executor, f"{self.cells.run.name}: {what}")

    @property
    def processes(self) -> int:
        """How many jobs are done side by side; 0 where it is not known."""
        return executors.workers_of(self.workers) if isinstance(self.workers, Executor) else self.workers

    def executor(self, seconds: float) -> AbstractContextManager[Executor]:
        """Who computes work of so many seconds: this process where starting others takes longer."""
        if isinstance(self.workers, Executor):
            return nullcontext(self.workers)
        if self.workers == 1 or seconds < ablation_pass.WORTH_WORKERS:
            return _here(self.cells.device)
        return executors.pool(self.workers, device.for_workers(self.cells.device or "cpu"))

    @cached_property
    def types(self) -> xr.Dataset:
        """`head_types.measure`, of all heads where that is known; raises NotMeasurable where no text is left."""
        ablation = head_types.pass_for(self.cells, self.step, self.tokens, self.only)
        stored = head_types.known(self.cells, ablation)
        if stored is not None:
            return stored
        with as_in_workers():
            with self.executor(float("inf")) as executor, _first_reason():
                head_types.compute(self.cells, ablation, executor)
            return head_types.table(self.cells, ablation)

    def missing_types(self) -> list[Job]:
        """What `types` will compute, as far as it is known before."""
        return head_types.missing(self.cells, head_types.pass_for(self.cells, self.step, self.tokens, self.only))

    def rllc(self, layer: int | None = None) -> xr.Dataset:
        """value, se, verdict, ... [step, restriction] of all that is sampled by now, by whichever command.

        layer: of its heads alone. Raises NotMeasurable where nothing is.
        """
        if layer is None:
            return self.cells.assembled(RLLC)
        names = [head_name(head) for head in all_heads(self.cfg) if head[0] == layer]
        rllc = self.cells.assembled(RLLC, names)
        return rllc.isel(restriction=(rllc.layer == layer).values.nonzero()[0])

    @property
    def few_steps(self) -> list[int]:
        """The checkpoints at which learning coefficients are sampled where nobody has done so."""
        return variants.few_steps(self.cells)

    def missing_rllcs(self, layers: Sequence[int], steps: Sequence[int] | None = None) -> list[Job]:
        """What is to be sampled of these layers, by default at the few checkpoints that curves are read at: those of
        the committed sweep. Whatever was sampled at others is shown with them.
        """
        names = [name for name in self.heads if parse_head(name)[0] in layers]
        return self.cells.missing_tables([RLLC], self.few_steps if steps is None else steps, names)

    @cached_property
    def effects(self) -> AblationPass:
        """The pass over the text with each head removed by itself (mean ablation), computed; raises NotMeasurable
        where the text does not allow it.
        """
        ablation = head_overlap.pass_of_heads(self.cells, self.step, self.only)
        self.compute(ablation_pass.missing(self.cells, ablation), "effects of the heads")
        return ablation

    @property
    def copying(self) -> dict[str, list[str]]:
        """Parameters of the cell with what paths do for copying: of some heads where the others are not looked at."""
        known = self.cells.read(PATHS, self.step) is not None
        return {"heads": [*self.only]} if self.only and not known else {}


@contextmanager
def _here(name: str) -> Iterator[Executor]:
    """This process, on a device."""
    with device.on(name):
        yield executors.Here()


@contextmanager
def _first_reason() -> Iterator[None]:
    """Jobs that all failed since the run or its text does not allow them raise the first one's reason."""
    try:
        yield
    except JobsFailed as failed:
        if all(isinstance(error, NotMeasurable) for error in failed.errors):
            raise failed.errors[0] from None
        raise
