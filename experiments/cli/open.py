"""The page of a run's results, in the browser."""

import argparse
from pathlib import Path

HELP = "write and open the page that links what a run's results folder holds: report, cards, circuits, types, claims"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from experiments.cli.arguments import DEFAULT_RUN

    parser.add_argument(
        "results",
        metavar="RUN",
        nargs="?",
        default=DEFAULT_RUN,
        help="a run's folder, its name in runs/ or results/, or the name of a bundled run (default: %(default)s)",
    )
    parser.add_argument("--out", type=Path, help="results folder (default: results/RUN)")
    parser.add_argument("--no-browser", action="store_true", help="write the page and print its path alone")


def run(arguments: argparse.Namespace) -> None:
    import shlex
    import webbrowser

    from experiments.pages import index_page
    from experiments.runs import places

    run, out = _name(arguments.results), arguments.out
    if out and not out.is_dir():
        raise ValueError(f"--out {out}: no such folder; give the results folder of a command before")
    flags = ["--run", arguments.results, *(["--out", str(out)] if out else [])]
    path = index_page.write(out or places.results_of(run), run, shlex.join(flags))
    print(path)
    if not arguments.no_browser:
        webbrowser.open(path.resolve().as_uri())


def _name(run: str) -> str:
    """The run's name; raises ValueError for a run that there is not, unless results of that name are there."""
    from experiments.runs import places

    if Path(run).name == run and places.results_of(run).is_dir():
        return run
    return places.folder_of(run).name
