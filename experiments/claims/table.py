"""All twelve claims, in their order, and the table of what was found."""

import logging
import math
from pathlib import Path
from types import ModuleType

from ablations.not_measurable import NotMeasurable
from experiments.claims import (
    composition,
    coordination,
    differentiation,
    induction_circuit,
    memorisation,
    migration,
    nested_brackets,
    other_measures,
    simplicity,
    specialisation,
    stages,
    transfer,
)
from experiments.claims.study import Study
from experiments.claims.verdict import Finding
from experiments.storage.files import write_bytes, write_json

log = logging.getLogger(__name__)

CLAIMS: tuple[ModuleType, ...] = (
    stages,
    differentiation,
    memorisation,
    simplicity,
    specialisation,
    transfer,
    coordination,
    nested_brackets,
    composition,
    migration,
    induction_circuit,
    other_measures,
)
FAMILY = (
    "Twelve claims are tested, each at its own level; criteria were fixed before looking and are not corrected for the "
    "family: with no effect at all, at least one of ten tests at p < 0.05 passes in 40% of such tables."
)


def find_all(study: Study) -> list[Finding]:
    """Every claim's finding; what they rest on is computed here where `study.compute` has not done it.

    A claim whose measurements the run or its text does not allow is not testable, and says why.
    """
    findings = []
    for claim in CLAIMS:
        try:
            findings.append(claim.find(study))
        except NotMeasurable as error:
            log.warning("claim %d: %s", claim.CLAIM.number, error)
            findings.append(_untestable(claim, study, str(error)))
    return findings


def _untestable(claim: ModuleType, study: Study, why: str) -> Finding:
    return Finding(
        claim=claim.CLAIM,
        statistic="none",
        value=None,
        interval=None,
        null=None,
        p=None,
        units=f"{len(study.judged)} seeds",
        smallest_detectable="none",
        controls=(),
        survives={},
        details={},
        diagnosis=f"could not be measured: {why}",
        verdict="not testable",
    )


def record(study: Study, findings: list[Finding]) -> dict:
    """The table as plain JSON."""
    first = study.cells[0]
    return {
        "schema": 1,
        "runs": [cells.run.name for cells in study.cells],
        "verdicts from": [cells.run.name for cells in study.judged],
        "corpus": first.plan.corpus,
        "settings": first.plan.llc.name,
        "family": FAMILY,
        "claims": [finding.record() for finding in findings],
    }


def write(study: Study, findings: list[Finding], folder: Path) -> list[Path]:
    """Writes the findings as JSON and as Markdown."""
    paths = [folder / f"claims.{suffix}" for suffix in ("json", "md")]
    write_json(paths[0], record(study, findings))
    write_bytes(paths[1], as_markdown(study, findings).encode())
    return paths


def as_markdown(study: Study, findings: list[Finding]) -> str:
    """The table, and below it what each claim says, what was found, and how it reads."""
    runs = ", ".join(cells.run.name for cells in study.judged)
    lines = [f"Verdicts from {runs}; {study.cells[0].plan.llc.name} settings. {FAMILY}", ""]
    lines += ["| # | claim | verdict | value | 95% interval | p | negative controls | survives |", "|" + "---|" * 8]
    for one in findings:
        value, interval, p = _numbers(one)
        controls = "; ".join(f"{control.name}: {'fired' if control.fired else 'not found'}" for control in one.controls)
        survives = "; ".join(f"{name}: {answer}" for name, answer in one.survives.items())
        cells = (str(one.claim.number), one.claim.name, f"**{one.verdict}**", value, interval, p, controls, survives)
        lines.append("| " + " | ".join(text.replace("|", "/") for text in cells) + " |")
    for one in findings:
        claim = one.claim
        lines += ["", f"**{claim.number}. {claim.name}**: {claim.statement}. Criterion: {claim.criterion}."]
        lines[-1] += f" Value: {one.statistic}."
        lines += [f"Units: {one.units}. Smallest detectable: {one.smallest_detectable}. {one.diagnosis}."]
    return "\n".join(lines) + "\n"


def as_text(findings: list[Finding]) -> str:
    """The findings for a terminal: one line a claim."""
    lines = [f"{'claim':<32} {'verdict':<13} {'value':>9}  {'95% interval':<22} {'p':>7}  units"]
    for one in findings:
        value, interval, p = _numbers(one)
        head = f"{one.claim.number:>2} {one.claim.name:<29} {one.verdict:<13}"
        lines.append(f"{head} {value:>9}  {interval:<22} {p:>7}  {one.units}")
    return "\n".join(lines)


def _numbers(one: Finding) -> tuple[str, str, str]:
    interval = "" if one.interval is None else f"{one.interval[0]:.3g} to {one.interval[1]:.3g}"
    value, p = ("" if number is None or math.isnan(number) else f"{number:.3g}" for number in (one.value, one.p))
    return value, interval, p
