"""Ablations of heads, sets of heads, and paths."""

import argparse

HELP = "what removing heads, sets of heads or paths costs on held-out text (zero, mean and resample ablation)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from experiments.cli.arguments import add_pass_arguments, add_run_arguments

    parser.add_argument(
        "what", metavar="HEAD", nargs="+", help="L1H3 or 1:3; L0H1+L1H3 for both at once; 'L0H5->L1H4.k' for a path"
    )
    add_pass_arguments(parser, 500_000)  # as types: a head has one effect, wherever it is shown
    add_run_arguments(parser)


def run(arguments: argparse.Namespace) -> None:
    from experiments.cli.flags import refusals

    refusals.check_changes(arguments.run, arguments.what)

    from ablations.changes import change_name, check_change, parse_change
    from experiments import runs
    from experiments.cli.opening import chosen_step, open_cells, pass_over_text
    from experiments.heldout import ablation_pass, head_effects
    from experiments.heldout.ablation_pass import METHODS, AblationPass
    from experiments.statistics.intervals import caution, written

    opened = runs.open_run(arguments.run)
    cfg = opened.model_config()
    what = tuple(dict.fromkeys(change_name(check_change(parse_change(text), cfg)) for text in arguments.what))
    step = chosen_step(opened, arguments)
    asked = [AblationPass(what, step, 0, method, arguments.layer_norm) for method in METHODS]
    cells = open_cells(arguments, layers=1)
    asked = pass_over_text(cells, arguments, asked)
    tables = [ablation_pass.means(cells, one) for one in asked]
    print(
        f"loss rise at step {step} over {head_effects.population(tables[0])}, nats per "
        "token, with its 95% confidence interval (by document); positive: what is removed helps"
    )
    width = max(map(len, what)) + 1
    print(" " * width + "".join(f"{method:>20}" for method in METHODS))
    for name in what:
        at = [table.sel(change=name) for table in tables]
        columns = (written(table, "effect", 4) for table in at)
        print(name.ljust(width) + "".join(f"{column:>20}" for column in columns))
    if word := caution(tables[0], "effect"):
        print(word)
