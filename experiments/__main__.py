"""The command line: `python -m experiments VERB`. One file per verb in cli/; each imports what it needs when run."""

import argparse
import logging
import os
import sys
import traceback
import warnings
from concurrent.futures import BrokenExecutor
from importlib import import_module

from experiments.cli import refusals
from experiments.jobs import progress
from experiments.jobs.bugs import is_about_input, is_bug
from experiments.jobs.job import JobsFailed

VERBS = (
    "reproduce",
    "train",
    "adopt",
    "figure",
    "calibrate",
    "ablate",
    "paths",
    "affected",
    "types",
    "circuit",
    "investigate",
    "claims",
    "sweep",
    "status",
    "convert",
)


def main(arguments: list[str] | None = None) -> int:
    """Runs a verb; returns the exit code: 0, 1 for work that failed, 2 for bad input, 130 for Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m experiments", description=__doc__.partition(":")[0])
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name in VERBS:
        module = import_module(f"experiments.cli.{name}")
        verb = verbs.add_parser(name, help=module.HELP, description=module.HELP)
        module.add_arguments(verb)
        verb.set_defaults(run_verb=module.run)
    parsed = parser.parse_args(arguments)
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
