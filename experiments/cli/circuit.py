"""Discovery of the paths that carry a task."""

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from circuits.tasks import Task
    from experiments.results.cells import Cells

HELP = "find the paths that carry a task: exact effects of all, false discoveries controlled, a graph and a picture"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from experiments.cli.arguments import add_heads_argument, add_run_arguments

    parser.add_argument(
        "--task",
        default="induction",
        help="induction, brackets, quotes or skipgram, or file:PATH for one of your own: JSON lines with clean, "
        "corrupted, right and wrong (default: %(default)s)",
    )
    parser.add_argument("--step", type=int, help="checkpoint (default: the last)")
    parser.add_argument(
        "--top", type=int, default=12, help="paths to print and to list on the page (default: %(default)s)"
    )
    parser.add_argument(
        "--formation",
        action="store_true",
        help="also draw how it formed, at the checkpoints where most has changed: at most 6 of at most 18",
    )
    parser.add_argument(
        "--thorough",
        action="store_true",
        help="also look for rival circuits, and draw faithfulness over size: exact effects, EAP-IG, EAP, random",
    )
    parser.add_argument(
        "--against",
        metavar="STEP|RUN",
        help="also tell what is gained, lost and moved in another checkpoint of the run, or in another run (at --step, "
        "if it is given, else at its last checkpoint)",
    )
    parser.add_argument(
        "--across",
        metavar="RUN",
        action="append",
        default=[],
        help="also tell what is the same in this run, and in more if it is given again: paths that are found in every "
        "one, and which head does what in each (at --step, if it is given, else at the last checkpoints)",
    )
    add_heads_argument(parser, "measure the paths from and into these alone, as a table without a circuit")
    add_run_arguments(parser)


def run(arguments: argparse.Namespace) -> None:
    from experiments import tasks

    tasks.check_asked(arguments.task)
    if arguments.top < 1:
        raise ValueError(f"--top {arguments.top}: at least one path is printed")

    whole = {"--formation": arguments.formation, "--thorough": arguments.thorough, "--against": arguments.against}
    whole |= {"--across": arguments.across}
    if arguments.heads and (flag := next((name for name, asked in whole.items() if asked), "")):
        raise ValueError(f"{flag} with --heads: it takes all paths, leave one of them out")

    from experiments.cli.flags import refusals

    refusals.check_heads(arguments.run, arguments.heads)
    refusals.check_across(arguments.run, arguments.across, arguments.against)
    if arguments.against:
        refusals.check_against(arguments.run, arguments.against)

    from ablations.names import distinct_heads
    from experiments import runs
    from experiments.cli.opening import announced, chosen_step, open_cells, open_executor
    from experiments.heldout import ablation_pass, head_types
    from experiments.pages import circuit_change, circuit_files, circuit_positions, circuit_rivals
    from experiments.tasks import bracket_effects, circuit_difference, discovery, own_task, path_effects, positions

    opened = runs.open_run(arguments.run)
    asked = own_task.opened(arguments.task, opened)
    step = chosen_step(opened, arguments)
    cells = open_cells(arguments)
    steps = path_effects.formation_candidates(cells) if arguments.formation else []
    other = opened_other(cells, arguments, step) if arguments.against else None
    places = opened_across(cells, arguments, step, asked) if arguments.across else []
    if arguments.heads:
        of_heads(cells, arguments, asked, step, distinct_heads(arguments.heads, opened.model_config()))
        return
    jobs, what = discovery.missing(cells, asked, step, steps), f"paths of {arguments.task}"
    jobs += circuit_difference.missing(cells, step, *other, asked) if other else []
    jobs += circuit_difference.missing_of(places, asked)
    then = discovery.missing_of_circuit(cells, asked, step, thorough=arguments.thorough)
    announced(opened, arguments, what, jobs + then, lambda head: path_effects.missing(cells, asked, [step], [head]))
    with open_executor(arguments) as executor:
        ablation_pass.run(cells, jobs, executor)
        ablation_pass.run(cells, then, executor)
    discovered = discovery.discover_circuit(cells, asked, step, head_types.labels(cells, step))
    print(circuit_files.as_text(discovered, arguments.top))
    if where := circuit_positions.as_text(positions.frame(discovered.positions), arguments.top):
        print(where)
    if arguments.task == "brackets":
        print("\n".join(bracket_effects.sentences(bracket_effects.table(cells, step))))
    found = circuit_rivals.compared(cells, asked, step) if arguments.thorough else None
    if found:
        print("\n".join(circuit_rivals.sentences(found)))
    formed = circuit_files.formation(cells, asked) if arguments.formation else None
    against = circuit_difference.compare(cells, step, *other, asked) if other else None
    if against:
        print(circuit_change.as_text(against, arguments.top))
    for path in circuit_files.write(cells, discovered, arguments.top, formed, found, against, arguments.task):
        print(f"wrote {path}")
    if places:
        tell_across(places, asked, arguments)


def opened_other(cells: "Cells", arguments: argparse.Namespace, step: int) -> "tuple[Cells, int]":
    """The cells and the checkpoint that --against names; raises ValueError for what there is not, or the same."""
    from experiments.cli.opening import chosen_step, open_cells
    from experiments.tasks import circuit_difference

    if arguments.against.isdecimal():
        asked = argparse.Namespace(step=int(arguments.against))
        other = cells, chosen_step(cells.run, asked)
    else:
        opened = open_cells(argparse.Namespace(**vars(arguments) | {"run": arguments.against}))
        other = opened, chosen_step(opened.run, arguments)
    circuit_difference.check_apart((cells, step), other)
    return other


def opened_across(
    cells: "Cells", arguments: argparse.Namespace, step: int, asked: "str | Task"
) -> "list[tuple[Cells, int]]":
    """The cells and checkpoints of the run and of those that --across names; raises ValueError for what there is not,
    and for runs of another shape, text or tokenizer.
    """
    from experiments.cli.opening import chosen_step, open_cells
    from experiments.tasks import circuit_across

    others = [open_cells(argparse.Namespace(**vars(arguments) | {"run": run})) for run in arguments.across]
    places = [(cells, step), *((other, chosen_step(other.run, arguments)) for other in others)]
    circuit_across.check_apart(places)
    circuit_across.check_prompts(places, asked)
    return places


def tell_across(places: "Sequence[tuple[Cells, int]]", asked: "str | Task", arguments: argparse.Namespace) -> None:
    """Prints and writes what the circuits of several runs have in common; says so where none has a path."""
    from ablations.not_measurable import NotMeasurable
    from experiments.pages.across_runs import files, words
    from experiments.tasks import circuit_across

    cells, _ = places[0]
    try:
        many = circuit_across.compare(places, asked)
    except NotMeasurable as error:
        print(f"What is the same in every run cannot be told: {error}")
        return
    print(words.as_text(many, arguments.top))
    for path in files.write(cells, many, arguments.top, arguments.task):
        print(f"wrote {path}")


def of_heads(
    cells: "Cells", arguments: argparse.Namespace, asked: "str | Task", step: int, heads: "Sequence[str]"
) -> None:
    """The paths from and into some heads, as a table."""
    from experiments import tasks
    from experiments.cli.opening import announced, open_executor
    from experiments.heldout import ablation_pass
    from experiments.pages import path_files
    from experiments.tasks import path_effects

    name = tasks.name_of(asked)
    jobs = path_effects.missing(cells, asked, [step], heads)
    announced(cells.run, arguments, f"paths of {arguments.task}", jobs, None)
    with open_executor(arguments) as executor:
        ablation_pass.run(cells, jobs, executor)
    measured = path_effects.table(cells, asked, [step], heads).isel(step=0)
    print(path_files.as_text(measured, name, heads, arguments.top))
    print(f"wrote {path_files.write(cells, measured, name, heads)}")
