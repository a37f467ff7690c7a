"""A run looked at head by head, in a notebook or a script: an overview, cards of heads, circuits and comparisons.

    inv = Investigation("mini-seed0")
    inv                          # the overview
    inv["L1H4"]                  # the card of a head; inv["L1H4"].on("some text"), .save("L1H4.html"), .paths, ...
    inv.circuit("induction")     # what carries a task; also inv.circuit(inv.task(clean=..., ...)), of your own text
    inv.on("some text")          # that text: losses, predictions, attention, which heads matter; .without("L1H4"), ...
    inv.compare("L1H4", "L1H5")  # two heads; inv.compare(4800, 28000): two checkpoints
    inv.rllc("L0H5+L1H4")        # a learning coefficient over training
    inv.at(4800)                 # the same at another checkpoint
    inv.explore()                # all of training on one page, with the model alive in it

Nothing is computed before it is shown or asked for, and nothing twice: all of it is cells of the results folder.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from ablations import models
from ablations.models import Model
from ablations.names import check_head, distinct_heads, head_name, parse_head
from circuits.task_text import Strings
from circuits.tasks import Task
from experiments import runs
from experiments.investigate import overview, rllc_curve
from experiments.investigate.comparison import Comparison
from experiments.investigate.found_circuit import FoundCircuit
from experiments.investigate.head_card import HeadCard
from experiments.investigate.prompts.prompt import Prompt, on_text
from experiments.investigate.rllc_curve import RllcCurve
from experiments.investigate.snapshot import Snapshot
from experiments.investigate.snapshot_comparison import SnapshotComparison
from experiments.jobs import device as devices
from experiments.jobs.announcement import announce
from experiments.pages import saving
from experiments.pages.layout import page as layout
from experiments.results import plan
from experiments.results.cells import Cells
from experiments.runs import adopt, places
from experiments.runs.run import Run
from experiments.tasks import own_task
from llc.gauge import Gauge


class Investigation:
    """A run at one of its checkpoints. It does not change: `at` gives another one.

    model: a run's name or folder, a run, or a model, which is first written into the results folder as a
    run with one checkpoint (tokenizer: its own, of `tokenizers` or a fast one of transformers; default: the model's).
    corpus: as in the command line (default: what the run was trained on; a model needs one). out: results folder
    (default: results/RUN). step: default the last. tokens: of held-out text that types rest on (default: 500,000, or
    all where there are fewer). heads: those that are looked at, by name (default: all): types and learning
    coefficients of others are not measured, which takes long in large models. gauge: of learning coefficients,
    "balanced" for the weights of the same function that do not depend on training (`llc.balanced`). workers: processes
    for what takes long, or a `concurrent.futures.Executor`; several processes need the guard
    `if __name__ == "__main__"` in a script, and nothing in a notebook. device: what chains, ablations and discovery run
    on, "cpu", "cuda" or "cuda:1" (default: DEVCIRCUITS_DEVICE of the environment, or the CPU); with several workers
    "cuda" is one process for each GPU. Results are the same cells on either.

    Raises ValueError for a run, corpus, checkpoint or device that there is not.
    """

    def __init__(
        self,
        model: str | Path | Run | Model,
        corpus: str | None = None,
        *,
        tokenizer: Any = None,
        out: str | Path | None = None,
        step: int | None = None,
        seed: int = 0,
        tokens: int | None = None,
        heads: Sequence[str] = (),
        gauge: Gauge = "trained",
        workers: int | Executor = 1,
        device: str = "",
    ) -> None:
        _check_device(device, workers)
        folder = Path(out) if out else None
        run = _run(model, tokenizer, corpus, folder)
        chosen = run.steps[-1] if step is None else step
        run.check_step(chosen)
        name = corpus or run.config["preset"]["corpus"]
        planned = replace(plan.default_plan(name, run.config["model"]["n_ctx"], seed), gauge=gauge)
        kept = Cells(folder or places.results_of(run.name), run, planned, committed=True, device=device)
        _ = run.tokenizer, kept.inputs.corpus  # read, or built, now: what is wrong with them is said here
        self.snapshot = Snapshot(kept, chosen, tokens, workers, tuple(distinct_heads(heads, run.model_config())))

    @property
    def run(self) -> Run:
        return self.snapshot.cells.run

    @property
    def step(self) -> int:
        return self.snapshot.step

    @property
    def heads(self) -> pd.DataFrame:
        """One row for each head: type, effect, attention scores, rLLC, with standard errors; NaN where not measured."""
        return overview.frame(self.snapshot)

    def at(self, step: int) -> "Investigation":
        """The same at another checkpoint; raises ValueError for one that there is not."""
        self.run.check_step(step)
        other = object.__new__(Investigation)
        other.snapshot = replace(self.snapshot, step=step)
        return other

    def __getitem__(self, head: str) -> HeadCard:
        """The card of a head, by its name ("L1H4" or "1:4"); raises ValueError for one that the model lacks, or that is
        not looked at.
        """
        name = head_name(check_head(parse_head(str(head)), self.snapshot.cfg))
        if name not in self.snapshot.heads:
            raise ValueError(f"{name} is not among heads={', '.join(self.snapshot.only)}: name it there, too")
        return HeadCard(self.snapshot, name)

    def __iter__(self) -> Iterator[HeadCard]:
        return (self[name] for name in self.snapshot.heads)

    def on(self, text: str) -> Prompt:
        """A text of the user's own at this checkpoint: its losses, predictions and attention, what removing heads and
        paths does to it. BOS is put before it; what does not fit the context is left out, with a warning.

        Raises ValueError for a text without a token, and for one that the run's tokenizer cannot encode.
        """
        return on_text(self.snapshot, text)

    def circuit(self, task: str | Path | Task = "induction") -> FoundCircuit:
        """The paths that carry a task: induction, brackets, quotes or skipgram, or one of your own: a Task (`task`
        makes one of text), or a file of JSON lines as the command line takes them. Raises ValueError for another.
        """
        return FoundCircuit(self.snapshot, own_task.opened(task, self.run))

    def task(self, clean: Strings, corrupted: Strings, right: Strings, wrong: Strings, *, name: str = "own") -> Task:
        """A task of your own text, in the run's tokens, as `Task.from_strings` makes it."""
        return own_task.checked(
            Task.from_strings(clean, corrupted, right, wrong, self.run.tokenizer, name=name), self.run
        )

    def rllc(self, restriction: str, steps: Sequence[int] | None = None) -> RllcCurve:
        """The learning coefficient over training of a head, or of any restriction of the weights (`llc.restrict`):
        "L0H1+L1H4", "L0", "embed", "full", a parameter's name.

        steps: checkpoints (default: a few, the last among them). Raises ValueError for a restriction or a checkpoint
        that there is not.
        """
        return rllc_curve.curve(self.snapshot, restriction, steps)

    def explore(self) -> Path:
        """Writes explore.html into the results folder and returns its path: all of training on one offline page, with
        the model alive in it (`experiments.explorer`). What is missing is measured first.
        """
        from experiments.explorer import data, page  # with all of the study's statistics, which a card has no use for

        jobs = data.missing(self.snapshot.cells)
        announce("explorer", jobs, self.snapshot.processes)
        self.snapshot.compute(jobs, "explorer")
        return page.write(self.snapshot.cells)

    def compare(self, first: str | int, second: str | int) -> Comparison | SnapshotComparison:
        """Two heads of this checkpoint by name, or two checkpoints of this run by step, side by side with differences.

        Heads have a difference where it has an error. Raises ValueError as `[]` does, as `at` does, and for a head with
        a step.
        """
        if isinstance(first, str) and isinstance(second, str):
            return Comparison(self[first], self[second])
        if isinstance(first, str) or isinstance(second, str):
            raise ValueError(f"{first!r} and {second!r}: give two heads by name, or two checkpoints by step")
        return self.at(first).against(self.at(second))

    def against(self, other: "Investigation") -> SnapshotComparison:
        """This checkpoint and another one, of this run or of another, head by head; heads of two runs are matched by
        what they do. Raises ValueError for the same checkpoint, and NotMeasurable for models of other layers or heads.
        """
        return SnapshotComparison(self.snapshot, other.snapshot)

    def save(self, path: str | Path) -> Path:
        """Writes the overview that a notebook shows as a page (.html), or `heads` (.csv) by itself; returns the path.
        Raises ValueError for another suffix.
        """
        cells = self.snapshot.cells
        return saving.save_shown(path, cells, lambda: overview.overview(self.snapshot), frame=lambda: self.heads)

    def _repr_html_(self) -> str:
        return layout.cell(overview.overview(self.snapshot))

    def __repr__(self) -> str:
        count = f"{len(self.snapshot.heads)} heads, {len(self.run.steps)} checkpoints"
        return f"Investigation({self.snapshot.title}; {count}, corpus {self.snapshot.cells.plan.corpus})"


def _check_device(name: str, workers: int | Executor) -> None:
    """Raises ValueError for one that is not there, and for one beside an executor, whose workers have their own."""
    if name:
        devices.checked(name, "device=")
    if name and isinstance(workers, Executor):
        raise ValueError(f"device={name} with an executor: start its workers with {devices.VARIABLE}={name}")


def _run(model: str | Path | Run | Model, tokenizer: Any, corpus: str | None, out: Path | None) -> Run:
    if models.is_model(model):
        model = models.as_model(model)
        tokenizer = tokenizer if tokenizer is not None else model.tokenizer
        if tokenizer is None or corpus is None:
            raise ValueError("a model has no text of its own: give its corpus= and tokenizer=")
        return _adopted(model, tokenizer, corpus, out)
    if tokenizer is not None:
        raise ValueError("tokenizer= is of a model: a run has its own, leave it out")
    return model if isinstance(model, Run) else runs.open_run(model)


def _adopted(model: Model, tokenizer: Any, corpus: str, out: Path | None) -> Run:
    """Written beside its results, under a name of its content: the second time it is there."""
    name = adopt.content_name(model, tokenizer, corpus)
    folder = (out or places.results_of(name)) / "run" / name
    if (folder / "config.json").is_file():
        return runs.open_run(folder)
    return adopt.adopt(folder, {0: model}, tokenizer, corpus=corpus, tokens_per_step=1)


def compare(
    first: str | Path | Run | Investigation, second: str | Path | Run | Investigation, **of_both: Any
) -> SnapshotComparison:
    """Two runs at their last checkpoints, or two investigations as they are, head by head (`Investigation.against`).

    of_both: arguments of `Investigation` for runs that are given by name, folder or value. Raises ValueError as
    `Investigation` does, and as `against`.
    """
    one, other = (
        each if isinstance(each, Investigation) else Investigation(each, **of_both) for each in (first, second)
    )
    return one.against(other)
