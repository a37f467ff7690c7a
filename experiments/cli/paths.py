"""Every direct path between heads, cut by itself."""

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

HELP = "what cutting each path between heads (through q, k and v), and from heads to the output, costs on held-out text"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from experiments.cli.arguments import add_heads_argument, add_pass_arguments, add_run_arguments

    parser.add_argument(
        "--method",
        choices=("zero", "mean", "resample"),
        default="mean",
        help="method of ablation of the source's output (default: %(default)s)",
    )
    parser.add_argument("--top", type=int, default=15, help="paths to print (default: %(default)s)")
    add_heads_argument(parser, "paths from and into these alone")
    add_pass_arguments(parser, 100_000)
    add_run_arguments(parser)


def run(arguments: argparse.Namespace) -> None:
    if arguments.top < 1:
        raise ValueError(f"--top {arguments.top}: at least one path is printed")

    from experiments.cli.flags import refusals

    refusals.check_heads(arguments.run, arguments.heads)

    from ablations.names import distinct_heads, parse_head
    from experiments import runs
    from experiments.cli.opening import chosen_step, open_cells, pass_over_text
    from experiments.figures import files
    from experiments.heldout import ablation_pass
    from experiments.heldout.ablation_pass import AblationPass
    from experiments.plots import path_map
    from experiments.results.file_names import of_heads
    from experiments.statistics.intervals import caution, written

    opened = runs.open_run(arguments.run)
    step = chosen_step(opened, arguments)
    heads = distinct_heads(arguments.heads, opened.model_config())
    cells = open_cells(arguments)

    def of(names: "Sequence[str]") -> AblationPass:
        what = path_map.every_path(opened.model_config(), [parse_head(name) for name in names])
        return AblationPass(what, step, 0, arguments.method, arguments.layer_norm)

    (asked,) = pass_over_text(cells, arguments, [of(heads)], lambda head: [of([head])])
    what = asked.what
    effects = ablation_pass.means(cells, asked)
    ranked = effects.isel(change=abs(effects.effect).argsort()[::-1].values)
    print(
        f"loss rise when one path is cut ({arguments.method} ablation, layer norm {arguments.layer_norm}) at step "
        f"{step}, {effects.attrs['tokens']} tokens of {effects.attrs['documents']} held-out documents, nats per "
        f"token,\nwith its 95% confidence interval (by document); positive: the path helps; "
        f"the {arguments.top} largest of {len(what)}:"
    )
    for name in ranked.change.values[: arguments.top].tolist():
        at = ranked.sel(change=name)
        print(f"{name:16}{written(at, 'effect', 4):>18}")
    if word := caution(effects, "effect"):
        print(word)
    if opened.path_note:
        print(opened.path_note)
    table = path_map.table(effects)
    name = f"path_effects{of_heads(heads)}"
    for path in files.write_table_and_figure(cells, name, table, path_map.draw(table)):
        print(f"wrote {path}")
