"""The claims as one page: what was expected, what was found, the figure, and how to run it again."""

from pathlib import Path

from markupsafe import Markup

from experiments import figures
from experiments.claims.table import FAMILY, adjusted_p, beyond_noise, cautions
from experiments.figures import files
from experiments.pages import claims_figures, saving
from experiments.pages.layout import elements, run_links
from experiments.pages.layout import page as layout
from experiments.pages.layout.environment import macros
from experiments.pages.layout.page import Made, Page, Section
from experiments.pages.layout.run_links import Group, Link
from experiments.statistics.intervals import from_to
from experiments.storage.files import write_bytes
from experiments.study.study import Study
from experiments.study.verdict import COMMAND, Finding

COLUMNS = (
    "", "claim", "verdict", "value", "95% confidence interval", "p", "p (Holm)", "more than noise", "negative controls",
    "survives",
)  # fmt: skip
WORDS = (0, 1, 2, 7, 8, 9)  # columns of words


def write(study: Study, findings: list[Finding], folder: Path) -> Path:
    """Draws the paper's figures of every run and writes report.html: first those of the claims, then the others."""
    path = folder / "report.html"
    lead = [elements.noted("Caution", caution) for caution in cautions(study)]
    page = Page(
        title="The findings on induction and multigram circuits, tested",
        about="Every finding of the paper, and some of later work, as a claim with a criterion that was fixed before "
        "looking, and what several runs say of it.",
        sections=_sections(study, findings, path),
        made=Made(COMMAND),
        lead=elements.joined(*lead, _head(study)),
    )
    write_bytes(path, layout.document(page, _links(study, path)).encode())
    for cells in study.cells:
        saving.update_index(cells)
    return path


def _sections(study: Study, findings: list[Finding], path: Path) -> list[Section]:
    """One for each claim; a figure that several claims rest on stands at the first of them."""
    places: dict[str, str] = {}
    sections = []
    for finding in findings:
        name, label = finding.claim.figure, finding.claim.label
        first = places.setdefault(name, label)
        drawn = claims_figures.of_runs(study, name, path) if first == label else macros("claims").see(first)
        sections.append(_section(study, finding, drawn))
    return [Section("All claims", _table(findings)), *sections, _other_figures(study, findings, path)]


def _head(study: Study) -> Markup:
    first, names = study.cells[0], ", ".join(cells.run.name for cells in study.cells)
    judged = ", ".join(cells.run.name for cells in study.judged)
    made: Markup = macros("claims").head(names, first.plan, first.run.name, judged, FAMILY)
    return made


def _table(findings: list[Finding]) -> Markup:
    adjusted = adjusted_p(findings)
    rows = [
        [
            finding.claim.label,
            macros("claims").to_claim(finding.claim),
            _verdict(finding),
            _number(finding.value),
            _interval(finding),
            _number(finding.p),
            _number(by_holm),
            beyond_noise(finding) or "–",
            _controls(finding),
            _survives(finding),
        ]
        for finding, by_holm in zip(findings, adjusted, strict=True)
    ]
    return elements.table(COLUMNS, rows, words=WORDS, kind="claims")


def _section(study: Study, finding: Finding, drawn: Markup) -> Section:
    claim = finding.claim
    value = f"{_number(finding.value)} (95% confidence interval {_interval(finding)}"
    rows = {
        "Finding": claim.statement,
        "Testable if": claim.precondition,
        "Replicated if": claim.criterion,
        "Statistic": finding.statistic,
        "Result": f"{value}; null {_number(finding.null)}; p {_number(finding.p)})",
        "Independent units": finding.units,
        "Smallest effect of interest": _interest(finding),
        "Smallest detectable effect": finding.smallest_detectable,
        "With plain noise alone": _noise(finding),
        "Negative controls": _controls(finding) or "none",
        "In other settings and gauges": _survives(finding) or "no ordering of rLLCs is claimed",
    }
    told = {name: elements.sentence(text) for name, text in rows.items() if text}
    told |= {"In detail": f"{finding.diagnosis}."}  # which begins with names of runs
    command = files.figure_command(study.cells[0], claim.figure)
    body = macros("claims").claim(told, drawn, COMMAND, command)
    title = f"{claim.label}. {claim.name[0].upper()}{claim.name[1:]}"
    return Section(title, body, f"claim{claim.label}", _verdict(finding))


def _other_figures(study: Study, findings: list[Finding], path: Path) -> Section:
    """The paper's figures that no claim shows, but for those of single draws, which the committed sweep lacks."""
    shown = {finding.claim.figure for finding in findings}
    names = [name for name in (*figures.FIGURES, *figures.MORE) if name not in shown and name not in figures.OF_TRACES]
    drawn = [(figures.get(name).TITLE, claims_figures.of_runs(study, name, path)) for name in names]
    return Section("Further figures", macros("claims").further(drawn))


def _links(study: Study, path: Path) -> list[Group]:
    """Links to the index of every run."""
    links = [Link(cells.run.name, run_links.address(cells.folder / run_links.INDEX, path)) for cells in study.cells]
    return [Group(f"Results of {link.name}", [link]) for link in links]


def _verdict(finding: Finding) -> Markup:
    made: Markup = macros("claims").verdict(finding.verdict)
    return made


def _interest(finding: Finding) -> str:
    """The effect, and how many seeds would show it; nothing where none was named."""
    if finding.interest is None:
        return ""
    seeds = finding.seeds_needed
    return f"{finding.interest}" + (f"; {seeds} seeds show it with a probability of 80%" if seeds else "")


def _noise(finding: Finding) -> str:
    """The statistic with nbeta E0[dL] in place of the coefficient, and the difference; nothing for other claims."""
    noise = finding.noise
    if noise is None:
        return ""
    told = "more than noise shows" if noise.exceeded else "not beyond what noise shows"
    return (
        f"{_number(noise.value)} ({from_to(noise.interval) or 'no interval'}); the coefficients' value minus this: "
        f"{_number(noise.difference)} ({from_to(noise.difference_interval) or 'no interval'}), {told}"
    )


def _controls(finding: Finding) -> str:
    told = {True: "found there, too", False: "not found"}
    return "; ".join(f"{control.name}: {told[control.fired]}" for control in finding.controls)


def _survives(finding: Finding) -> str:
    return "; ".join(f"{name}: {answer}" for name, answer in finding.survives.items())


def _number(value: float | None) -> str:
    return "–" if value is None or value != value else f"{value:.3g}"


def _interval(finding: Finding) -> str:
    return from_to(finding.interval) or "–"
