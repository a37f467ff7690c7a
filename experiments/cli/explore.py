"""The explorer."""

import argparse

HELP = "one offline page to move through a run's checkpoints, watch its circuit form, and cut the model by hand"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from experiments.cli.arguments import add_run_arguments

    add_run_arguments(parser)


def run(arguments: argparse.Namespace) -> None:
    from experiments.cli.opening import open_executor
    from experiments.investigate.investigation import Investigation

    with open_executor(arguments) as executor:
        investigation = Investigation(
            arguments.run,
            corpus=arguments.corpus,
            out=arguments.out,
            seed=arguments.seed,
            workers=executor,
        )
        print(f"wrote {investigation.explore()}")
