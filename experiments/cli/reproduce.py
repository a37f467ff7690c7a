"""The main job."""

import argparse
from typing import TYPE_CHECKING

HELP = (
    "measure a run over training (losses, scores, paths, rLLCs) and write tables, figures, summary.json and report.html"
)

if TYPE_CHECKING:
    from experiments.results.cells import Cells


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from experiments.cli.arguments import add_gauge_argument, add_run_arguments

    parser.add_argument(
        "--all",
        action="store_true",
        help="also every figure of the paper and the table of its claims, from the bundled seeds and their sweep",
    )
    add_gauge_argument(parser)
    add_run_arguments(parser)


def run(arguments: argparse.Namespace) -> None:
    from experiments import figures
    from experiments.cli.opening import announced, open_cells, open_executor
    from experiments.heldout import induction_tokens
    from experiments.jobs import runner
    from experiments.measurements.kinds import MAIN_JOB
    from experiments.pages import report, summary

    cells = open_cells(arguments)
    note = cells.run.corpus_note(cells.inputs.corpus)
    if note:
        print(f"note: {note}")
    jobs = cells.missing_tables(MAIN_JOB)
    announced(cells.run, arguments, cells.run.name, jobs, None)
    with open_executor(arguments) as executor:
        runner.run(jobs, executor, cells.run.name)
        induction_tokens.compute(cells, executor)
        for module in map(figures.get, figures.FIGURES):
            if hasattr(module, "prepare"):
                module.prepare(cells, executor)
    tables = summary.write_tables(cells)
    written = [summary.write_summary(cells), report.write_report(cells, list(figures.FIGURES), note)]
    print(
        f"wrote {len(tables)} tables in {tables[0].parent}, "
        f"{len(figures.FIGURES)} figures in {cells.folder / 'figures'}"
    )
    for path in written:
        print(f"wrote {path}")
    if arguments.all:
        _all(arguments, cells)


def _all(arguments: argparse.Namespace, measured: "Cells") -> None:
    from experiments.cli import claims
    from experiments.cli.arguments import DEFAULT_RUN
    from experiments.cli.opening import open_study_with_references
    from experiments.study.study import Study

    several = argparse.Namespace(**vars(arguments) | {"run": None if arguments.run == DEFAULT_RUN else [arguments.run]})
    opened = open_study_with_references(several).cells
    # `measured` has the folder where it was measured, which with --out is not one of its own
    study = Study(tuple(measured if one.run.folder == measured.run.folder else one for one in opened))
    claims.make(study, arguments)
