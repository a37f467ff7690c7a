"""One figure."""

import argparse

HELP = "make one figure, of one run or of several: rllcs, stages, clustering, memorization, ... (all: figure --help)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from experiments import figures
    from experiments.cli.arguments import add_sampling_arguments, add_study_arguments

    parser.add_argument("name", metavar="NAME", help=", ".join((*figures.FIGURES, *figures.MORE)))
    add_sampling_arguments(parser)
    add_study_arguments(parser)


def run(arguments: argparse.Namespace) -> None:
    from experiments import figures

    figures.check(arguments.name)
    from experiments.cli.arguments import DEFAULT_RUN
    from experiments.cli.opening import compute, open_executor, open_study
    from experiments.figures import files

    module = figures.get(arguments.name)
    arguments.run = arguments.run or [DEFAULT_RUN]
    opened = open_study(arguments)
    with open_executor(arguments) as executor:
        for cells in opened.cells:
            compute(cells, module.NEEDS, executor)
            if hasattr(module, "prepare"):
                module.prepare(cells, executor)
    for cells in opened.cells:
        for path in files.write_figure(cells, arguments.name):
            print(f"wrote {path}")
