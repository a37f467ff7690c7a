"""All fifteen claims, in their order, and the table of what was found."""

import logging
import math
from pathlib import Path
from types import ModuleType

from ablations.not_measurable import NotMeasurable
from experiments.claims import (
    beyond_noise,
    composition,
    coordination,
    differentiation,
    function_stages,
    induction_circuit,
    landscape_stages,
    memorisation,
    migration,
    nested_brackets,
    other_measures,
    simplicity,
    specialisation,
    stages,
    susceptibilities,
    transfer,
)
from experiments.measurements.rllc import RLLC
from experiments.runs.learning_rate import decay_notes
from experiments.storage.files import write_bytes, write_json
from experiments.study.study import Study
from experiments.study.verdict import Finding

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
    landscape_stages,
    function_stages,
    susceptibilities,
    beyond_noise,
)
FAMILY = (
    "Fifteen claims are tested, the last in two parts, each at its own level; criteria were fixed before looking and "
    "are not corrected for the family: with no effect at all, at least one of ten tests at p < 0.05 passes in 40% of "
    "such tables."
)


def find_all(study: Study) -> list[Finding]:
    """Every claim's finding; what they rest on is computed here where `compute.compute` has not done it.

    A claim whose measurements the run or its text does not allow (NotMeasurable) is not testable, and says why. Any
    other error is a bug and comes out as itself.
    """
    findings = []
    for claim in CLAIMS:
        try:
            findings.append(claim.find(study))
        except NotMeasurable as error:
            log.warning("claim %s: %s", claim.CLAIM.label, error)
            findings.append(_untestable(claim, study, str(error)))
    return findings


def _untestable(claim: ModuleType, study: Study, why: str) -> Finding:
    """The finding of a claim that could not be measured."""
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


def cautions(study: Study) -> list[str]:
    """What to know of these runs before their learning coefficients are read; sentences without a full stop."""
    return decay_notes([(cells.run, cells.steps(RLLC)) for cells in study.cells])


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
    lines = [part for caution in cautions(study) for part in (f"**Caution.** {caution}.", "")]
    lines += [f"Verdicts from {runs}; {study.cells[0].plan.llc.name} settings. {FAMILY}", ""]
    lines += ["| # | claim | verdict | value | 95% interval | p | negative controls | survives |", "|" + "---|" * 8]
    lines += [_row(finding) for finding in findings]
    for finding in findings:
        claim = finding.claim
        lines += ["", f"**{claim.label}. {claim.name}**: {claim.statement}. Criterion: {claim.criterion}."]
        lines[-1] += f" Value: {finding.statistic}."
        lines += [f"Units: {finding.units}. Smallest detectable: {finding.smallest_detectable}. {finding.diagnosis}."]
    return "\n".join(lines) + "\n"


def _row(finding: Finding) -> str:
    """A finding's row of the Markdown table."""
    claim = finding.claim
    controls = (f"{control.name}: {'fired' if control.fired else 'not found'}" for control in finding.controls)
    survives = (f"{name}: {answer}" for name, answer in finding.survives.items())
    texts = (claim.label, claim.name, f"**{finding.verdict}**", *_numbers(finding))
    return "| " + " | ".join(t.replace("|", "/") for t in (*texts, "; ".join(controls), "; ".join(survives))) + " |"


def as_text(findings: list[Finding]) -> str:
    """The findings for a terminal: one line a claim."""
    lines = [f"{'claim':<32} {'verdict':<13} {'value':>9}  {'95% interval':<22} {'p':>7}  units"]
    for finding in findings:
        value, interval, p = _numbers(finding)
        head = f"{finding.claim.label:>3} {finding.claim.name:<28} {finding.verdict:<13}"
        lines.append(f"{head} {value:>9}  {interval:<22} {p:>7}  {finding.units}")
    return "\n".join(lines)


def _numbers(finding: Finding) -> tuple[str, str, str]:
    """Value, interval and p as text; nothing for a number that there is not."""
    ends = finding.interval
    interval = "" if ends is None else f"{ends[0]:.3g} to {ends[1]:.3g}"
    numbers = (finding.value, finding.p)
    value, p = ("" if number is None or math.isnan(number) else f"{number:.3g}" for number in numbers)
    return value, interval, p
