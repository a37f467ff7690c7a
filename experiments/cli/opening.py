"""Flags that several verbs have, and the cells that they name."""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

DEFAULT_RUN = "mini-seed0"
BUNDLED = ("mini-seed0", "mini-seed1", "mini-seed2")

if TYPE_CHECKING:
    from concurrent.futures import Executor
    from contextlib import AbstractContextManager

    from experiments.claims.study import Study
    from experiments.heldout.ablation_pass import Survey
    from experiments.results.cells import Cells
    from experiments.runs.run import Run


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """--run, --corpus, --out, --seed, --workers, --scheduler, --device."""
    parser.add_argument(
        "--run",
        default=DEFAULT_RUN,
        help="a run's folder, or its name in runs/ or in the bundled zoo (default: %(default)s)",
    )
    _add_place_arguments(parser)


def _add_place_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--corpus",
        help="python, python:code, python:prose, cpp, synthetic or text:PATH (default: what the run was trained on)",
    )
    parser.add_argument("--out", type=Path, help="results folder (default: results/RUN)")
    parser.add_argument("--seed", type=int, default=0, help="of measurements and sampling (default: %(default)s)")
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count(), help="processes (default: one per core, %(default)s)"
    )
    parser.add_argument(
        "--scheduler", metavar="ADDRESS", help="work on the Dask cluster of this scheduler (host:port) in their place"
    )
    parser.add_argument(
        "--device",
        choices=("cpu", "cuda"),
        default="cpu",
        help="what chains are sampled on; cuda: one process a GPU (default: %(default)s)",
    )


def add_study_arguments(parser: argparse.ArgumentParser) -> None:
    """--run (repeatable) and the flags of a place: of runs that are looked at together."""
    parser.add_argument(
        "--run",
        action="append",
        help="a run's folder, or its name in runs/ or in the bundled zoo; repeatable (default: the bundled seeds)",
    )
    _add_place_arguments(parser)


def add_sampling_arguments(parser: argparse.ArgumentParser) -> None:
    """--settings, --reference."""
    from llc.settings import NAMED

    parser.add_argument("--settings", choices=NAMED, default="QUICK", help="of rLLC chains (default: %(default)s)")
    parser.add_argument(
        "--reference",
        choices=("last", "same"),
        help="refine rLLCs by the run's one-layer reference model: its last checkpoint, or the one of the same step "
        "(default: the next-token loss)",
    )


def add_survey_arguments(parser: argparse.ArgumentParser, tokens: int) -> None:
    """--step, --tokens, --layer-norm."""
    parser.add_argument("--step", type=int, help="checkpoint (default: the last)")
    parser.add_argument(
        "--tokens", type=int, help=f"of held-out text (default: {tokens}, or all where there are fewer)"
    )
    parser.set_defaults(default_tokens=tokens)
    parser.add_argument(
        "--layer-norm",
        choices=("recompute", "freeze"),
        default="recompute",
        help="of a cut path's target: recompute it (exact), or keep its scale (default: %(default)s)",
    )


def open_cells(arguments: argparse.Namespace, layers: int = 2) -> "Cells":
    """The results that the flags name; reads (or builds) the held-out text. Raises ValueError for fewer layers."""
    from dataclasses import replace

    import torch

    from experiments import runs
    from experiments.measurements import plan
    from experiments.results import cells
    from llc.settings import NAMED

    check_out(arguments.out)
    torch.set_num_threads(1)  # as in the workers: a cell's bits are to be the same wherever it is computed
    run = runs.open_run(arguments.run)
    model = run.config["model"]
    if model["n_layers"] < layers:
        raise ValueError(f"run {run.name} has {model['n_layers']} layer: paths between heads need two or more")
    corpus = arguments.corpus or run.config["preset"]["corpus"]
    found = cells.Cells(
        folder=arguments.out or Path("results") / run.name,
        run=run,
        plan=replace(
            plan.default_plan(corpus, model["n_ctx"], arguments.seed),
            reference=getattr(arguments, "reference", None) or "",
            llc=NAMED[getattr(arguments, "settings", "QUICK")],
        ),
    )
    _ = run.tokenizer, found.on.corpus
    return found


def check_out(folder: Path | None) -> None:
    """Raises ValueError for a results folder that cannot be made, since a file is in its place."""
    if folder and (file := next((place for place in (folder, *folder.parents) if place.is_file()), None)):
        raise ValueError(f"--out {folder}: {file} is a file; give a folder")


def chosen_step(run: "Run", arguments: argparse.Namespace) -> int:
    """The checkpoint that --step names, by default the last; raises ValueError for a missing or damaged one."""
    from experiments.measurements import inputs as bench

    step = run.steps[-1] if arguments.step is None else arguments.step
    bench.model(run.folder, step)
    return step


def open_study(arguments: argparse.Namespace) -> "Study":
    """The runs that the flags name, together; reads learning coefficients of the committed sweep where it has them."""
    from dataclasses import replace

    from experiments.claims.study import Study

    named = arguments.run or BUNDLED
    names = [Path(run).name for run in named]
    if twice := next((name for number, name in enumerate(names) if name in names[:number]), ""):
        raise ValueError(f"--run {twice} twice: a run counts once, name others or leave it out")
    out = [arguments.out / Path(run).name if arguments.out and len(named) > 1 else arguments.out for run in named]
    places = zip(named, out, strict=True)
    opened = [open_cells(argparse.Namespace(**vars(arguments) | {"run": run, "out": place})) for run, place in places]
    return Study(tuple(replace(cells, committed=True) for cells in opened))


def open_executor(arguments: argparse.Namespace) -> "AbstractContextManager[Executor]":
    """What --workers, --scheduler and --device ask for."""
    from experiments.jobs import device, executors

    if not arguments.scheduler:
        return executors.pool(arguments.workers, device.for_workers(arguments.device))
    if arguments.device != "cpu":
        raise ValueError(f"--device {arguments.device} with --scheduler: start its workers with {device.VARIABLE}=cuda")
    return executors.dask(arguments.scheduler)


def compute(found: "Cells", kinds: tuple[str, ...] | None, executor: "Executor") -> None:
    """Computes what is missing of these kinds of cells (all when None)."""
    from experiments.jobs import runner

    runner.run(found.tasks(kinds) if kinds else found.tasks(), executor, found.run.name)


def survey_text(found: "Cells", arguments: argparse.Namespace, asked: list["Survey"]) -> list["Survey"]:
    """Computes the parts of these passes that are missing, over as many tokens as the flags say; returns the passes.

    Raises ValueError for what the model or the text does not have.
    """
    from dataclasses import replace

    from experiments.heldout import ablation_pass

    tokens = arguments.tokens
    if tokens is None:
        tokens = min(arguments.default_tokens, ablation_pass.available(found.on))
    checked = [ablation_pass.check(replace(one, tokens=tokens), found.on) for one in asked]
    with open_executor(arguments) as executor:
        ablation_pass.compute(found, checked, executor)
    return checked
