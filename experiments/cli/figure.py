"""One figure."""

import argparse

HELP = "make one figure, of one run or of several: rllcs, stages, clustering, memorization, ... (all: figure --help)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from experiments import figures
    from experiments.cli.shared import add_sampling_arguments, add_study_arguments

    parser.add_argument("name", metavar="NAME", help=", ".join((*figures.FIGURES, *figures.MORE)))
    add_sampling_arguments(parser)
    add_study_arguments(parser)


def run(arguments: argparse.Namespace) -> None:
    from experiments import figures, report
    from experiments.cli.shared import DEFAULT_RUN, compute, open_study

    module = figures.get(arguments.name)
    arguments.run = arguments.run or [DEFAULT_RUN]
    for cells in open_study(arguments).cells:
        compute(cells, module.NEEDS, arguments.workers)
        if hasattr(module, "prepare"):
            module.prepare(cells, arguments.workers)
        for path in report.write_figure(cells, arguments.name):
            print(f"wrote {path}")
