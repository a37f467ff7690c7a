"""The claims."""

import argparse
from typing import TYPE_CHECKING

HELP = "test the paper's findings, and later ones, on several runs: statistic, interval, null, controls, verdict"

if TYPE_CHECKING:
    from experiments.study.study import Study


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from experiments.cli.arguments import add_study_arguments

    add_study_arguments(parser)


def run(arguments: argparse.Namespace) -> None:
    from experiments.cli.opening import open_study_with_references

    make(open_study_with_references(arguments), arguments)


def make(opened: "Study", arguments: argparse.Namespace) -> None:
    """Computes what is missing, prints the table, and writes it as JSON and into a page with the paper's figures."""
    from experiments.claims import table
    from experiments.cli.opening import open_executor
    from experiments.pages import claims_page
    from experiments.runs import places
    from experiments.study import compute

    with open_executor(arguments) as executor:
        compute.compute(opened, executor)
    findings = table.find_all(opened)
    print(table.as_text(findings))
    folder = (arguments.out or places.project() / "results") / "claims"
    for path in (*table.write(opened, findings, folder), claims_page.write(opened, findings, folder)):
        print(f"wrote {path}")
