"""The learning coefficients that the findings need, in all ways: hours of independent cells."""

import argparse

HELP = "sample every head of some runs in all the ways that the claims ask for, resumable; --commit keeps the tables"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from experiments.cli.arguments import add_study_arguments

    parser.add_argument(
        "--commit", action="store_true", help="also write the tables beside the bundled runs, where --all reads them"
    )
    add_study_arguments(parser)


def run(arguments: argparse.Namespace) -> None:
    from dataclasses import replace

    from experiments.cli.opening import open_executor, open_study_with_references
    from experiments.measurements import variants
    from experiments.study import compute
    from experiments.study.study import Study

    opened = open_study_with_references(arguments)
    computed = Study(tuple(replace(cells, committed=False) for cells in opened.cells))
    with open_executor(arguments) as executor:
        compute.compute_sampled(computed, executor)
        if arguments.commit:
            compute.compute_types(computed, executor)
    for cells in computed.cells:
        ways = variants.ways(cells.plan) | variants.drawn_ways(cells.plan)
        print(f"sampled {cells.run.name} in {len(ways)} ways, cells in {cells.folder / 'cells'}")
        if arguments.commit:
            for path in compute.commit(cells):
                print(f"wrote {path}")
