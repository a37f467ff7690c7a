"""The claims as one self-contained page: what was expected, what was found, the figure, and how to run it again."""

import html
from pathlib import Path

from ablations.not_measurable import NotMeasurable
from experiments import figures
from experiments.claims.study import Study
from experiments.claims.table import FAMILY
from experiments.claims.verdict import COMMAND, Finding
from experiments.figures import files
from experiments.pages import shell
from experiments.results.cells import Cells
from experiments.storage.files import write_bytes

COLORS = {"replicated": "#009E73", "contradicted": "#D55E00", "inconclusive": "#777777", "not testable": "#AAAAAA"}
_RULES = """
.verdict { color: white; border-radius: 4px; padding: .1rem .5rem; font-size: .85rem; white-space: nowrap }
table.claims td, table.claims th { text-align: left; vertical-align: top; white-space: normal }
td.n, table.claims td.n { text-align: right; white-space: nowrap } h3 { margin: 1.4rem 0 .3rem; font-size: 1.05rem }
details { margin: .6rem 0 } dl { display: grid; grid-template-columns: 11rem 1fr; gap: .25rem .8rem; font-size: .95rem }
dt { color: #555 } dd { margin: 0 }
"""


def write(study: Study, findings: list[Finding], folder: Path) -> Path:
    """Draws the paper's figures of every run and writes report.html: first those of the claims, then the others."""
    title = "The findings on induction and multigram circuits, tested"
    parts = [
        _head(study),
        _table(findings),
        *(_section(study, finding) for finding in findings),
        _others(study, findings),
    ]
    body = "\n".join([f"<h1>{html.escape(title)}</h1>", *parts])
    document = shell.page(title, shell.fragment(body, _RULES))
    path = folder / "report.html"
    write_bytes(path, document.encode())
    return path


def _head(study: Study) -> str:
    first, names = study.cells[0], ", ".join(cells.run.name for cells in study.cells)
    judged = ", ".join(cells.run.name for cells in study.judged)
    return (
        f"<p>Twelve findings of arXiv:2410.02984, as far as its public material tells them, on {html.escape(names)} "
        f"(corpus {html.escape(first.plan.corpus)}). Thresholds were fixed on {first.run.name}; verdicts come from "
        f"{html.escape(judged)}. Learning coefficients: {first.plan.llc.name} settings (lr {first.plan.llc.lr:g}, "
        f"localization {first.plan.llc.localization:g}, nbeta {first.plan.llc.nbeta:g}, batch "
        f"{first.plan.llc.batch_size}, {first.plan.llc.num_chains} chains of {first.plan.llc.num_draws} draws). "
        f"{html.escape(FAMILY)}</p>"
        "<p><b>Replicated</b>: the criterion is met. <b>Contradicted</b>: the 95% interval lies wholly on the other "
        "side of the null. <b>Inconclusive</b>: neither, or a negative control met the criterion too. <b>Not "
        "testable</b>: the precondition is unmet. The statements are the paper's as second-hand as the project's "
        "sources; the criteria are ours.</p>"
    )


def _table(findings: list[Finding]) -> str:
    rows = "".join(
        f'<tr><td>{one.claim.number}</td><td><a href="#claim{one.claim.number}">{html.escape(one.claim.name)}</a></td>'
        f"<td>{_word(one)}</td><td class=n>{_number(one.value)}</td><td class=n>{_interval(one)}</td>"
        f"<td class=n>{_number(one.p)}</td>"
        f"<td>{html.escape(_controls(one))}</td><td>{html.escape(_survives(one))}</td></tr>"
        for one in findings
    )
    return (
        "<div class=scroll><table class=claims><tr><th></th><th>claim</th><th>verdict</th><th>value</th>"
        "<th>95% interval</th><th>p</th>"
        f"<th>negative controls</th><th>survives</th></tr>{rows}</table></div>"
    )


def _section(study: Study, one: Finding) -> str:
    claim = one.claim
    rows = {
        "expected": claim.statement,
        "precondition": claim.precondition,
        "criterion": claim.criterion,
        "statistic": one.statistic,
        "found": f"{_number(one.value)} (95% interval {_interval(one)}; null {_number(one.null)}; p {_number(one.p)})",
        "units": one.units,
        "smallest detectable": one.smallest_detectable,
        "negative controls": _controls(one),
        "in other settings and gauges": _survives(one) or "no ordering of rLLCs is claimed",
        "reading": one.diagnosis,
    }
    listed = "".join(f"<dt>{name}</dt><dd>{html.escape(text)}</dd>" for name, text in rows.items())
    drawn = "".join(_figure(cells, claim.figure) for cells in study.cells)
    return (
        f'<h2 id="claim{claim.number}">{claim.number}. {html.escape(claim.name.capitalize())} {_word(one)}</h2>'
        f"<dl>{listed}</dl>{drawn}<p class=quiet>Run again: <code>{COMMAND}</code>; the figure: "
        f"<code>{html.escape(files.figure_command(study.cells[0], claim.figure))}</code></p>"
    )


def _others(study: Study, findings: list[Finding]) -> str:
    shown = {finding.claim.figure for finding in findings}
    sections = [
        f"<h3>{html.escape(figures.get(name).TITLE)}</h3>" + "".join(_figure(cells, name) for cells in study.cells)
        for name in (*figures.FIGURES, *figures.MORE)
        if name not in shown and name not in figures.OF_TRACES
    ]
    return "<h2>Further figures</h2>" + "".join(sections)


def _figure(cells: Cells, name: str) -> str:
    try:
        svg, _ = files.write_figure(cells, name)
    except NotMeasurable as error:  # what this run or its text does not have
        return f"<p class=quiet>{html.escape(cells.run.name)}: not drawn, {html.escape(str(error))}</p>"
    caption = f"{cells.run.name}. {figures.get(name).CAPTION}"
    picture = shell.captioned(shell.embedded(svg.read_bytes(), caption), caption)
    return f"<details open><summary>{html.escape(cells.run.name)}</summary>{picture}</details>"


def _word(one: Finding) -> str:
    return f'<span class=verdict style="background:{COLORS[one.verdict]}">{one.verdict}</span>'


def _controls(one: Finding) -> str:
    return "; ".join(f"{control.name}: {'FIRED' if control.fired else 'not found'}" for control in one.controls)


def _survives(one: Finding) -> str:
    return "; ".join(f"{name}: {answer}" for name, answer in one.survives.items())


def _number(value: float | None) -> str:
    return "–" if value is None or value != value else f"{value:.3g}"


def _interval(one: Finding) -> str:
    return "–" if one.interval is None else f"{_number(one.interval[0])} to {_number(one.interval[1])}"
