"""One figure."""

import argparse

HELP = "make one figure: rllcs, induction, compositions, paths or traces"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from experiments.cli.shared import add_run_arguments, add_sampling_arguments

    parser.add_argument("name", metavar="NAME", help="rllcs, induction, compositions, paths or traces")
    add_sampling_arguments(parser)
    add_run_arguments(parser)


def run(arguments: argparse.Namespace) -> None:
    from experiments import figures, report
    from experiments.cli.shared import compute, open_cells

    module = figures.get(arguments.name)
    cells = open_cells(arguments)
    compute(cells, module.NEEDS, arguments.workers)
    for path in report.write_figure(cells, arguments.name):
        print(f"wrote {path}")
