"""The tokens that removing a head, a set of heads or a path affects most."""

import argparse

HELP = "the tokens of held-out text that removing a head (or a path) affects most, in their contexts"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from experiments.cli.arguments import add_pass_arguments, add_run_arguments

    parser.add_argument("what", metavar="HEAD", help="L1H4, L0H1+L0H5, or a path: 'L0H5->L1H4.k'")
    parser.add_argument(
        "--method",
        choices=("zero", "mean", "resample"),
        default="resample",
        help="method of ablation; under resample, effects are means over 8 other documents (default: %(default)s)",
    )
    parser.add_argument("--top", type=int, default=20, help="tokens in each of the two lists (default: %(default)s)")
    add_pass_arguments(parser, 200_000)
    add_run_arguments(parser)


def run(arguments: argparse.Namespace) -> None:
    from experiments.cli.flags import refusals

    refusals.check_changes(arguments.run, [arguments.what])
    if arguments.top < 1:
        raise ValueError(f"--top {arguments.top}: a list holds at least one token")

    from ablations.changes import change_name, check_change, parse_change, reader
    from experiments import runs
    from experiments.cli.opening import chosen_step, open_cells, pass_over_text
    from experiments.heldout import ablation_pass, path_overlap
    from experiments.heldout.ablation_pass import AblationPass
    from experiments.pages import affected_files

    opened = runs.open_run(arguments.run)
    change = check_change(parse_change(arguments.what), opened.model_config())
    reader(change)
    name, others = change_name(change), path_overlap.ends_of(change)
    step = chosen_step(opened, arguments)
    asked = AblationPass(
        (name, *others), step, 0, arguments.method, arguments.layer_norm, lists=True, keep=bool(others)
    )
    cells = open_cells(arguments, layers=1)
    (asked,) = pass_over_text(cells, arguments, [asked])
    means = ablation_pass.means(cells, asked).sel(change=name)
    lists = affected_files.compute(cells, asked, name, arguments.top)
    lead = affected_files.lead(cells, asked, name, means)
    if others:
        lead += path_overlap.sentences(cells, asked, name, others)
    print(affected_files.as_text(lists, lead))
    for path in affected_files.write(cells, asked, name, lists, lead):
        print(f"wrote {path}")
