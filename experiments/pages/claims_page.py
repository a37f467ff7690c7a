"""The claims as one self-contained page: what was expected, what was found, the figure, and how to run it again."""

import html
from pathlib import Path

from ablations.not_measurable import NotMeasurable
from experiments import figures
from experiments.claims.table import FAMILY, cautions
from experiments.figures import files
from experiments.pages import shell
from experiments.results.cells import Cells
from experiments.statistics.intervals import from_to
from experiments.study.study import Study
from experiments.study.verdict import COMMAND, Finding

COLORS = {"replicated": "#00795A", "contradicted": "#C04A00", "inconclusive": "#6B6B6B", "not testable": "#8A8A8A"}
COLUMNS = ("", "claim", "verdict", "value", "95% interval", "p", "negative controls", "survives")
_RULES = """
.verdict { color: white; border-radius: 4px; padding: .1rem .5rem; font-size: .85rem; white-space: nowrap }
.claims table.loose td { vertical-align: top; white-space: nowrap; min-width: 0 }
.claims table.loose td.w { white-space: normal } .claims table.loose td:nth-child(n+7) { min-width: 14rem }
dl { display: grid; grid-template-columns: minmax(6rem, 1fr) 4fr; gap: .25rem .8rem; font-size: .9rem }
dt { color: #555 } dd { margin: 0; min-width: 0 }
"""


def write(study: Study, findings: list[Finding], folder: Path) -> Path:
    """Draws the paper's figures of every run and writes report.html: first those of the claims, then the others."""
    title = "The findings on induction and multigram circuits, tested"
    parts = [
        f"<h1>{html.escape(title)}</h1>",
        *(f"<p><b>Caution:</b> {html.escape(caution)}.</p>" for caution in cautions(study)),
        _head(study),
        f"<div class=claims>{_table(findings)}</div>",
        *(_section(study, finding) for finding in findings),
        _other_figures(study, findings),
    ]
    path = folder / "report.html"
    shell.write(path, title, shell.fragment("\n".join(parts), _RULES))
    return path


def _head(study: Study) -> str:
    first, names = study.cells[0], ", ".join(cells.run.name for cells in study.cells)
    judged = ", ".join(cells.run.name for cells in study.judged)
    return (
        "<p>Twelve findings of arXiv:2410.02984, as far as its public material tells them, and three of later work on "
        f"stages and susceptibilities (13 to 15), on {html.escape(names)} (corpus "
        f"{html.escape(first.plan.corpus)}). Thresholds were fixed on {html.escape(first.run.name)}; verdicts "
        f"come from {html.escape(judged)}. Learning coefficients: {first.plan.llc.name} settings (lr "
        f"{first.plan.llc.lr:g}, localization {first.plan.llc.localization:g}, nbeta {first.plan.llc.nbeta:g}, batch "
        f"{first.plan.llc.batch_size}, {first.plan.llc.num_chains} chains of {first.plan.llc.num_draws} draws). "
        f"{html.escape(FAMILY)}</p>"
        "<p><b>Replicated</b>: the criterion is met. <b>Contradicted</b>: the 95% interval lies wholly on the other "
        "side of the null. <b>Inconclusive</b>: neither, or a negative control met the criterion too. <b>Not "
        "testable</b>: the precondition is unmet. The statements are the paper's as second-hand as the project's "
        "sources; the criteria are ours.</p>"
    )


def _table(findings: list[Finding]) -> str:
    rows = [
        [
            finding.claim.label,
            f'<a href="#claim{finding.claim.label}">{html.escape(finding.claim.name)}</a>',
            _verdict(finding),
            _number(finding.value),
            _interval(finding),
            _number(finding.p),
            html.escape(_controls(finding)),
            html.escape(_survives(finding)),
        ]
        for finding in findings
    ]
    return shell.table(COLUMNS, rows, words=(0, 1, 2, 6, 7), loose=True)


def _section(study: Study, finding: Finding) -> str:
    claim, value = finding.claim, f"{_number(finding.value)} (95% interval {_interval(finding)}"
    rows = {
        "expected": claim.statement,
        "precondition": claim.precondition,
        "criterion": claim.criterion,
        "statistic": finding.statistic,
        "found": f"{value}; null {_number(finding.null)}; p {_number(finding.p)})",
        "units": finding.units,
        "smallest detectable": finding.smallest_detectable,
        "negative controls": _controls(finding),
        "in other settings and gauges": _survives(finding) or "no ordering of rLLCs is claimed",
        "reading": finding.diagnosis,
    }
    listed = "".join(f"<dt>{name}</dt><dd>{html.escape(text)}</dd>" for name, text in rows.items())
    drawn = "".join(_figure(cells, claim.figure) for cells in study.cells)
    return (
        f'<h2 id="claim{claim.label}">{claim.label}. {html.escape(claim.name.capitalize())} {_verdict(finding)}</h2>'
        f"<dl>{listed}</dl>{drawn}<p class=quiet>Run again: <code>{COMMAND}</code>; the figure: "
        f"<code>{html.escape(files.figure_command(study.cells[0], claim.figure))}</code></p>"
    )


def _other_figures(study: Study, findings: list[Finding]) -> str:
    """The paper's figures that no claim shows, but for those of single draws, which the committed sweep lacks."""
    shown = {finding.claim.figure for finding in findings}
    sections = [
        f"<h3>{html.escape(figures.get(name).TITLE)}</h3>" + "".join(_figure(cells, name) for cells in study.cells)
        for name in (*figures.FIGURES, *figures.MORE)
        if name not in shown and name not in figures.OF_TRACES
    ]
    return "<h2>Further figures</h2>" + "".join(sections)


def _figure(cells: Cells, name: str) -> str:
    run = html.escape(cells.run.name)
    try:
        svg, _ = files.write_figure(cells, name)
    except NotMeasurable as error:  # what this run or its text does not have
        command = html.escape(files.figure_command(cells, name))
        return f"<p class=quiet>{run}: not drawn, {html.escape(str(error))} (<code>{command}</code>)</p>"
    caption = f"{cells.run.name}. {figures.get(name).CAPTION}"
    picture = shell.captioned(shell.embedded(svg.read_bytes(), caption), caption)
    return f"<details open><summary>{run}</summary>{picture}</details>"


def _verdict(finding: Finding) -> str:
    return f'<span class=verdict style="background:{COLORS[finding.verdict]}">{finding.verdict}</span>'


def _controls(finding: Finding) -> str:
    return "; ".join(f"{control.name}: {'FIRED' if control.fired else 'not found'}" for control in finding.controls)


def _survives(finding: Finding) -> str:
    return "; ".join(f"{name}: {answer}" for name, answer in finding.survives.items())


def _number(value: float | None) -> str:
    return "–" if value is None or value != value else f"{value:.3g}"


def _interval(finding: Finding) -> str:
    return from_to(finding.interval) or "–"
