"""The claims."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

HELP = "test the paper's twelve findings on several runs: statistic, interval, null, controls, and one word for each"

if TYPE_CHECKING:
    from experiments.study import Study


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from experiments.cli.shared import add_study_arguments

    add_study_arguments(parser)


def run(arguments: argparse.Namespace) -> None:
    from experiments.cli.shared import open_study

    make(open_study(arguments), arguments.out or Path("results"), arguments.workers)


def make(opened: "Study", results: Path, workers: int) -> None:
    """Computes what is missing, prints the table, and writes it as JSON and into a page with the paper's figures."""
    from experiments import claims_page, study
    from experiments.claims import table

    study.compute(opened, workers)
    findings = table.find_all(opened)
    print(table.as_text(findings))
    folder = results / "claims"
    for path in (*table.write(opened, findings, folder), claims_page.write(opened, findings, folder)):
        print(f"wrote {path}")
