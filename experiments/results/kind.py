"""What a kind of measurement is: one record, which says all that asking, storing and sweeping it needs."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import xarray as xr

from ablations.models import Config
from experiments.results.inputs import Inputs
from experiments.results.plan import Plan
from experiments.runs.run import Run

Split = Literal["train", "test"]
PARTS_OF_EVERY_KEY = frozenset({"kind", "version", "plan", "data", "tokenizer", "step", "weights", "configuration"})
Parameters = Mapping[str, Any]  # JSON values that tell cells of a kind and a checkpoint apart


def every_checkpoint(run: Run, plan: Plan) -> list[int]:
    """The steps of all checkpoints of the run."""
    return run.steps


def last_checkpoint(run: Run, plan: Plan) -> list[int]:
    """The step of the run's last checkpoint."""
    return run.steps[-1:]


def sampled_checkpoints(run: Run, plan: Plan) -> list[int]:
    """The steps at which learning coefficients are sampled, as many as the plan asks for."""
    return plan.sampled_steps(run.steps)


@dataclass(frozen=True)
class Kind:
    """A kind of measurement. Its cells depend on what is named here, on the model and on its texts, on nothing else.

    compute(inputs, step, cells, **parameters) measures one cell; it may ask `cells` for cells of other kinds. A kind
    with `groups` measures several restrictions at once: compute(inputs, step, cells, restrictions) gives a dataset for
    each, by its name.
    """

    name: str
    version: tuple[int, ...]  # raised by hand when what a cell holds, or how it is computed, changes
    compute: Callable[..., Any]
    splits: tuple[Split, ...] = ("test",)  # the splits of the corpus that it reads
    steps: Callable[[Run, Plan], list[int]] | None = every_checkpoint  # None: it needs no checkpoint
    plan_fields: tuple[str, ...] = ()  # what of the plan it depends on
    seconds: Callable[[Inputs, Parameters], float] | float = 1.0  # rough seconds of a job on one core, for progress
    label: Callable[[Inputs, Parameters], str] | None = None  # of a cell, for a person to read; default: the name
    also: Callable[[Inputs, int | None], dict] | None = None  # what else its cells depend on, as JSON values
    groups: Callable[[Config], list[list[str]]] | None = None  # restrictions measured together
    keeps: Callable[[xr.Dataset], xr.Dataset] | None = None  # what is committed of it for bundled runs; None: nothing

    def cost(self, inputs: Inputs, parameters: Parameters) -> float:
        """Rough seconds of a job on one core."""
        return self.seconds(inputs, parameters) if callable(self.seconds) else self.seconds

    def describe(self, inputs: Inputs, step: int | None, parameters: Parameters) -> str:
        """A job's name for a person to read, one of its own in the results folder."""
        text = self.label(inputs, parameters) if self.label else self.name
        return text if step is None else f"{text} at step {step}"

    def checked(self, parameters: Collection[str]) -> None:
        """Raises TypeError for parameters that cells of this kind cannot have: they would hide parts of the key."""
        if hidden := PARTS_OF_EVERY_KEY & {*parameters}:
            raise TypeError(f"{self.name}: {', '.join(sorted(hidden))} name parts of every key, not parameters")
