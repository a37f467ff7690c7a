"""Opens what the flags of a command line name: cells, studies, checkpoints, executors."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.cli.arguments import BUNDLED
from experiments.runs import places

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from concurrent.futures import Executor
    from contextlib import AbstractContextManager

    from experiments.heldout.ablation_pass import AblationPass
    from experiments.jobs.job import Job
    from experiments.results.cells import Cells
    from experiments.results.kind import Kind
    from experiments.runs.run import Run
    from experiments.study.study import Study


def open_cells(arguments: argparse.Namespace, layers: int = 2) -> "Cells":
    """The results that the flags name, and the committed sweep where it has them; reads (or builds) the held-out text.

    Raises ValueError for fewer layers.
    """
    from dataclasses import replace

    import torch

    from experiments import runs
    from experiments.results import cells, plan
    from llc.settings import NAMED

    check_out(arguments.out)
    settings = NAMED[getattr(arguments, "settings", "QUICK")]
    torch.set_num_threads(1)  # as in the workers: a cell's bits are to be the same wherever it is computed
    run = runs.open_run(arguments.run)
    check_layers(run, layers)
    model, corpus = run.config["model"], arguments.corpus or run.config["preset"]["corpus"]
    opened = cells.Cells(
        folder=arguments.out or places.results_of(run.name),
        run=run,
        plan=replace(
            plan.default_plan(corpus, model["n_ctx"], arguments.seed),
            reference=getattr(arguments, "reference", None) or "",
            llc=settings,
            sampler=plan.sampler_of(settings),
            gauge=getattr(arguments, "gauge", "trained"),
        ),
        committed=True,
    )
    _ = run.tokenizer, opened.inputs.corpus
    return opened


def check_layers(run: "Run", layers: int) -> None:
    """Raises ValueError for a run with fewer layers."""
    count = run.config["model"]["n_layers"]
    if count < layers:
        raise ValueError(f"run {run.name} has {count} layer: paths between heads need two or more")


def check_out(folder: Path | None) -> None:
    """Raises ValueError for a results folder that cannot be made, since a file is in its place."""
    if folder and (file := next((place for place in (folder, *folder.parents) if place.is_file()), None)):
        raise ValueError(f"--out {folder}: {file} is a file; give a folder")


def check_once(runs: "Sequence[str]") -> None:
    """Raises ValueError where one of the runs that are looked at together is named twice."""
    names = [Path(run).name for run in runs]
    if twice := next((name for number, name in enumerate(names) if name in names[:number]), ""):
        raise ValueError(f"--run {twice} twice: a run counts once, name others or leave it out")


def chosen_step(run: "Run", arguments: argparse.Namespace) -> int:
    """The checkpoint that --step names, by default the last; raises ValueError for a missing or damaged one."""
    from experiments.runs.models import model_at

    step = run.steps[-1] if arguments.step is None else arguments.step
    model_at(run, step)
    return step


def announced(
    run: "Run",
    arguments: argparse.Namespace,
    what: str,
    jobs: "Sequence[Job]",
    of: "Callable[[str], Sequence[Job]] | None",
) -> None:
    """Says how long these jobs will take where that is long, and how long those `of` one head of the last layer."""
    from experiments.jobs.announcement import announce

    head = f"L{run.model_config().n_layers - 1}H0"
    less = (f"--heads {head}", lambda: of(head)) if of and not arguments.heads else None
    announce(what, jobs, 0 if arguments.scheduler else arguments.workers, less)


def open_study_with_references(arguments: argparse.Namespace) -> "Study":
    """The runs that the flags name, together, of which findings can be told.

    Raises ValueError for a run of one layer, or without a one-layer reference, before any text is read: building it can
    take minutes.
    """
    from experiments import runs
    from experiments.results.reference import reference_run

    for one in map(runs.open_run, arguments.run or BUNDLED):
        check_layers(one, 2)
        reference_run(one)
    return open_study(arguments)


def open_study(arguments: argparse.Namespace) -> "Study":
    """The runs that the flags name, together."""
    from experiments.study.study import Study

    named = arguments.run or BUNDLED
    check_once(named)
    out = [arguments.out / Path(run).name if arguments.out and len(named) > 1 else arguments.out for run in named]
    each = (vars(arguments) | {"run": run, "out": folder} for run, folder in zip(named, out, strict=True))
    return Study(tuple(open_cells(argparse.Namespace(**flags)) for flags in each))


def open_executor(arguments: argparse.Namespace) -> "AbstractContextManager[Executor]":
    """What --workers, --scheduler and --device ask for."""
    from experiments.jobs import device, executors

    if not arguments.scheduler:
        return executors.pool(arguments.workers, device.for_workers(arguments.device))
    if arguments.device != "cpu":
        raise ValueError(f"--device {arguments.device} with --scheduler: start its workers with {device.VARIABLE}=cuda")
    return executors.dask(arguments.scheduler)


def compute(cells: "Cells", kinds: "Collection[Kind]", executor: "Executor") -> None:
    """Computes what tables of these kinds lack."""
    from experiments.jobs import runner

    runner.run(cells.missing_tables(kinds), executor, cells.run.name)


def pass_over_text(
    cells: "Cells",
    arguments: argparse.Namespace,
    passes: "list[AblationPass]",
    of: "Callable[[str], list[AblationPass]] | None" = None,
) -> "list[AblationPass]":
    """Computes the parts of these passes that are missing, over as many tokens as the flags say; returns the passes.

    of: the passes of one head, where the verb has --heads. Raises ValueError for what model or text do not have.
    """
    from dataclasses import replace

    from experiments.heldout import ablation_pass

    tokens = arguments.tokens
    if tokens is None:
        tokens = min(arguments.default_tokens, cells.inputs.free_tokens)

    def check(asked: "list[AblationPass]") -> "list[AblationPass]":
        return [ablation_pass.check(replace(one, tokens=tokens), cells.inputs) for one in asked]

    def missing(asked: "list[AblationPass]") -> "list[Job]":
        return [job for one in asked for job in ablation_pass.missing(cells, one)]

    checked = check(passes)
    jobs = missing(checked)
    announced(cells.run, arguments, cells.run.name, jobs, (lambda head: missing(check(of(head)))) if of else None)
    with open_executor(arguments) as executor:
        ablation_pass.run(cells, jobs, executor)
    return checked
