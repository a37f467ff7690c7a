"""Head ablations."""

import argparse

HELP = "effect of ablating heads, each alone (zero, mean, resample), on the held-out loss"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from experiments.cli.shared import add_run_arguments

    parser.add_argument("heads", metavar="HEAD", nargs="+", help="L1H3 or 1:3")
    parser.add_argument("--step", type=int, help="checkpoint (default: the last)")
    add_run_arguments(parser)


def run(arguments: argparse.Namespace) -> None:
    from ablations.names import check_head, head_name, parse_head
    from experiments import runs
    from experiments.cli.shared import open_cells

    cfg = runs.open_run(arguments.run).model_config()
    heads = [head_name(check_head(parse_head(text), cfg)) for text in arguments.heads]
    cells = open_cells(arguments)
    step = cells.run.steps[-1] if arguments.step is None else arguments.step
    cells.run.check_step(step)
    table = cells.cell("ablations", step)
    print(
        f"loss rise on held-out text at step {step}, nats per token, with its standard error; positive: the head helps"
    )
    print("head " + "".join(f"{method:>20}" for method in table.method.values))
    for name in heads:
        at = table.sel(restriction=name)
        columns = (f"{value:.4f} ({se:.4f})" for value, se in zip(at.effect.values, at.effect_se.values, strict=True))
        print(f"{name} " + "".join(f"{column:>20}" for column in columns))
