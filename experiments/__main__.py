"""The command line: `devcircuits VERB`, or `python -m experiments VERB` where the package is not installed.

There is one file for each verb in cli/; each imports what it needs when it is run, so that `--help` stays fast.
"""

import argparse
import logging
import os
import sys
import traceback
import warnings
from concurrent.futures import BrokenExecutor
from importlib import import_module

from experiments import __version__
from experiments.cli.flags import refusals
from experiments.cli.flags.one_line import OneLineParser, check_verb
from experiments.jobs import progress
from experiments.jobs.bugs import is_about_input, is_bug
from experiments.jobs.job import JobsFailed

DESCRIPTION = "Circuit discovery by developmental interpretability."
GROUPS = {  # the verbs, as --help lists them
    "first results": ("reproduce", "investigate", "explore", "open"),
    "heads and circuits": ("types", "ablate", "paths", "affected", "circuit", "figure"),
    "models of your own": ("train", "adopt"),
    "where the answer is known": ("setting",),
    "samplers and long work": ("calibrate", "sweep", "status", "claims", "convert"),
}
VERBS = tuple(verb for verbs in GROUPS.values() for verb in verbs)
EXAMPLE = """\
example:
  devcircuits investigate L1H4     all that is known of a head, as one page
  devcircuits open                 what there is by now, in the browser
"""


class Parser(OneLineParser):
    """The parser of verbs; its help lists them by group."""

    def format_help(self) -> str:
        formatter = self._get_formatter()
        formatter.add_usage(self.usage, self._actions, self._mutually_exclusive_groups)
        formatter.add_text(self.description)
        verbs = next(action for action in self._actions if isinstance(action, argparse._SubParsersAction))
        told = {action.dest: action for action in verbs._get_subactions()}
        for title, names in GROUPS.items():
            formatter.start_section(title)
            formatter.add_arguments([told[name] for name in names])
            formatter.end_section()
        formatter.start_section("options")
        formatter.add_arguments([action for action in self._actions if action is not verbs])
        formatter.end_section()
        return f"{formatter.format_help()}\n{self.epilog}"


class Completion(argparse.Action):
    """Prints a script of tab completion for a shell."""

    def __call__(self, parser, namespace, values, option_string=None) -> None:  # type: ignore[no-untyped-def]
        try:
            import shtab
        except ImportError:
            parser.exit(2, "error: tab completion needs shtab: pip install shtab\n")
        print(shtab.complete(parser, values))
        parser.exit()


def parser_of_verbs() -> argparse.ArgumentParser:
    """What reads a command line; nothing heavy is imported for it."""
    parser = Parser(prog="devcircuits", description=f"{DESCRIPTION} VERB --help tells of a verb.", epilog=EXAMPLE)
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    parser.add_argument(
        "--print-completion",
        choices=("bash", "zsh", "tcsh"),
        action=Completion,
        help="print a script of tab completion for this shell (needs shtab), to be sourced in its start-up file",
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB", parser_class=OneLineParser)
    for name in VERBS:
        module = import_module(f"experiments.cli.{name}")
        verb = verbs.add_parser(name, help=module.HELP, description=module.HELP)
        module.add_arguments(verb)
        verb.set_defaults(run_verb=module.run)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Runs a verb; returns the exit code: 0, 1 for work that failed, 2 for bad input, 130 for Ctrl-C."""
    given = sys.argv[1:] if arguments is None else arguments
    try:
        check_verb(next((one for one in given[:1] if not one.startswith("-")), VERBS[0]), VERBS)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    parsed = parser_of_verbs().parse_args(given)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    for library in ("matplotlib", "arviz"):  # both tell what they found when they are imported
        logging.getLogger(library).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    try:
        refusals.check_flags(parsed)
        with progress.command(parsed.verb):
            parsed.run_verb(parsed)
    except ValueError as error:
        if not is_about_input(error):  # a bug, not a word on the input: it keeps its traceback
            raise
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenExecutor as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except JobsFailed as error:
        for bug in [each for each in error.errors if is_bug(each)][:1]:
            traceback.print_exception(bug)
        print(f"error: {error}", file=sys.stderr)
        return 2 if all(is_about_input(each) or isinstance(each, OSError) for each in error.errors) else 1
    except KeyboardInterrupt:
        print("\ninterrupted; what is finished is kept, the same command goes on from there", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
