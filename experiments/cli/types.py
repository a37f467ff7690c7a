"""What each head is."""

import argparse

HELP = "what each head is (previous-token, induction, multigram, bracket, ...), with the evidence, and its multigrams"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from experiments.cli.arguments import add_run_arguments

    parser.add_argument("--step", type=int, help="checkpoint (default: the last)")
    parser.add_argument("--tokens", type=int, help="of held-out text (default: 500000, or all where there are fewer)")
    add_run_arguments(parser)


def run(arguments: argparse.Namespace) -> None:
    from experiments import runs
    from experiments.cli.opening import chosen_step, open_cells, open_executor
    from experiments.heldout import head_types
    from experiments.pages import type_files

    opened = runs.open_run(arguments.run)
    step = chosen_step(opened, arguments)
    cells = open_cells(arguments, layers=1)
    wanted = head_types.pass_of_types(cells, step, arguments.tokens)
    with open_executor(arguments) as executor:
        head_types.compute(cells, wanted, executor)
    table = head_types.table(cells, wanted)
    print(type_files.as_text(cells, table, step))
    for path in type_files.write(cells, table, step):
        print(f"wrote {path}")
