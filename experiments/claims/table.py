"""All fifteen claims and their parts, in their order, and the table of what was found."""

import logging
import math
from collections.abc import Callable, Sequence
from pathlib import Path

from ablations.not_measurable import NotMeasurable
from experiments.claims import (
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
from experiments.statistics.intervals import from_to
from experiments.statistics.seeds import holm
from experiments.storage.files import write_bytes, write_json
from experiments.study.study import Study
from experiments.study.verdict import Claim, Finding

log = logging.getLogger(__name__)

Finder = Callable[[Study], Finding]
FINDERS: dict[Claim, Finder] = {
    claim: finder
    for module in (
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
    )
    for claim, finder in module.FINDERS.items()
}
FAMILY = (
    "Fifteen claims are tested, some in parts with a verdict each, each at its own level; criteria were fixed before "
    "looking and are not corrected for the family: with no effect at all, at least one of ten tests at p < 0.05 passes "
    "in 40% of such tables. Beside every p stands the one adjusted for all of them (Holm)."
)
COLUMNS = ("#", "claim", "verdict", "value", "95% interval", "p", "p (Holm)", "beyond noise", "controls", "survives")


def find_all(study: Study) -> list[Finding]:
    """Every claim's finding; what they rest on is computed here where `compute.compute` has not done it.

    A claim whose measurements the run or its text does not allow (NotMeasurable) is not testable, and says why. Any
    other error is a bug and comes out as itself.
    """
    findings = []
    for claim, finder in FINDERS.items():
        try:
            findings.append(finder(study))
        except NotMeasurable as error:
            log.warning("claim %s: %s", claim.label, error)
            findings.append(_untestable(claim, study, str(error)))
    return findings


def _untestable(claim: Claim, study: Study, why: str) -> Finding:
    """The finding of a claim that could not be measured."""
    return Finding(
        claim=claim,
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
        "schema": 2,
        "runs": [cells.run.name for cells in study.cells],
        "verdicts from": [cells.run.name for cells in study.judged],
        "corpus": first.plan.corpus,
        "settings": first.plan.llc.name,
        "family": FAMILY,
        "claims": [
            finding.record() | {"p_holm": adjusted}
            for finding, adjusted in zip(findings, adjusted_p(findings), strict=True)
        ],
    }


def adjusted_p(findings: Sequence[Finding]) -> list[float | None]:
    """The p of each finding, adjusted for all that have one (Holm)."""
    known = [number for number, finding in enumerate(findings) if finding.p is not None and math.isfinite(finding.p)]
    values = holm.adjusted([findings[number].p or 0.0 for number in known])
    by_number = dict(zip(known, values.tolist(), strict=True))
    return [by_number.get(number) for number in range(len(findings))]


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
    columns = (
        "#",
        "claim",
        "verdict",
        "value",
        "95% interval",
        "p",
        "p (Holm)",
        "beyond noise",
        "controls",
        "survives",
    )
    lines += [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
    lines += [_row(finding, adjusted) for finding, adjusted in zip(findings, adjusted_p(findings), strict=True)]
    for finding in findings:
        claim = finding.claim
        lines += ["", f"**{claim.label}. {claim.name}**: {claim.statement}. Criterion: {claim.criterion}."]
        lines[-1] += f" Value: {finding.statistic}."
        lines += [f"Units: {finding.units}. Smallest detectable: {finding.smallest_detectable}.{_sizes(finding)}"]
        lines[-1] += f" {finding.diagnosis}."
    return "\n".join(lines) + "\n"


def _sizes(finding: Finding) -> str:
    """The smallest effect of interest, the seeds that would show it, and what plain noise shows; or nothing."""
    parts = []
    if finding.interest:
        seeds = finding.seeds_needed
        needed = f", which {seeds} seeds would show with a probability of 80%" if seeds else ""
        parts.append(f" Smallest effect of interest: {finding.interest}{needed}.")
    if finding.noise:
        noise = finding.noise
        parts.append(
            f" Plain noise alone: {noise.value:.3g} ({from_to(noise.interval)}); the coefficients minus noise: "
            f"{noise.difference:.3g} ({from_to(noise.difference_interval)})."
        )
    return "".join(parts)


def beyond_noise(finding: Finding) -> str:
    """Whether learning coefficients show more of the effect than plain noise: "yes", "no", or nothing of others."""
    return "" if finding.noise is None else "yes" if finding.noise.exceeded else "no"


def _row(finding: Finding, adjusted: float | None) -> str:
    """A finding's row of the Markdown table."""
    claim = finding.claim
    controls = (f"{control.name}: {'fired' if control.fired else 'not found'}" for control in finding.controls)
    survives = (f"{name}: {answer}" for name, answer in finding.survives.items())
    holm_p = "" if adjusted is None else f"{adjusted:.3g}"
    texts = (claim.label, claim.name, f"**{finding.verdict}**", *_numbers(finding), holm_p, beyond_noise(finding))
    return "| " + " | ".join(t.replace("|", "/") for t in (*texts, "; ".join(controls), "; ".join(survives))) + " |"


def as_text(findings: list[Finding]) -> str:
    """The findings for a terminal: one line a claim."""
    width = max((len(finding.claim.name) for finding in findings), default=0)
    lines = [f"{'claim':<{width + 4}} {'verdict':<13} {'value':>9}  {'95% interval':<22} {'p':>7}  units"]
    for finding in findings:
        value, interval, p = _numbers(finding)
        head = f"{finding.claim.label:>3} {finding.claim.name:<{width}} {finding.verdict:<13}"
        lines.append(f"{head} {value:>9}  {interval:<22} {p:>7}  {finding.units}")
    return "\n".join(lines)


def _numbers(finding: Finding) -> tuple[str, str, str]:
    """Value, interval and p as text; nothing for a number that there is not."""
    ends = finding.interval
    interval = "" if ends is None else f"{ends[0]:.3g} to {ends[1]:.3g}"
    numbers = (finding.value, finding.p)
    value, p = ("" if number is None or math.isnan(number) else f"{number:.3g}" for number in numbers)
    return value, interval, p
