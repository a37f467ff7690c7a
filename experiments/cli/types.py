"""What each head is."""

import argparse

HELP = "what each head is (previous-token, induction, multigram, bracket, ...), with the evidence, and its multigrams"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from experiments.cli.arguments import add_heads_argument, add_run_arguments

    parser.add_argument("--step", type=int, help="checkpoint (default: the last)")
    parser.add_argument(
        "--tokens",
        type=int,
        help="tokens of held-out text to measure on (default: 500000, or all where there are fewer)",
    )
    add_heads_argument(parser, "the types of these alone, which is quick in large models")
    add_run_arguments(parser)


def run(arguments: argparse.Namespace) -> None:
    from experiments.cli.flags import refusals

    refusals.check_heads(arguments.run, arguments.heads)

    from functools import partial

    from ablations.names import distinct_heads
    from experiments import runs
    from experiments.cli.opening import announced, chosen_step, open_cells, open_executor
    from experiments.heldout import head_types
    from experiments.pages import type_files

    opened = runs.open_run(arguments.run)
    step = chosen_step(opened, arguments)
    cells = open_cells(arguments, layers=1)
    heads = distinct_heads(arguments.heads, opened.model_config())
    of = partial(head_types.pass_for, cells, step, arguments.tokens)
    wanted, missing = of(heads), partial(head_types.missing, cells)
    with open_executor(arguments) as executor:
        announced(opened, arguments, "types", missing(wanted), lambda head: missing(of([head])))
        head_types.compute(cells, wanted, executor)
    table = head_types.table(cells, wanted)
    table = table.sel(restriction=heads) if heads else table
    print(type_files.as_text(cells, table, step))
    for path in type_files.write(cells, table, step, heads, arguments.tokens):
        print(f"wrote {path}")
