"""A run's report as one page: what was found, each figure with what to see in it, and the command that made it."""

from pathlib import Path

import xarray as xr
from markupsafe import Markup

from ablations.not_measurable import NotMeasurable
from experiments import figures
from experiments.figures import files
from experiments.measurements.composition import COMPOSITION
from experiments.measurements.induction_heads import INDUCTION_HEADS
from experiments.measurements.rllc import RLLC
from experiments.measurements.scores import SCORES
from experiments.pages import report_tokens, saving
from experiments.pages.layout import elements, pictures
from experiments.pages.layout.environment import macros
from experiments.pages.layout.page import Made, Page, Section
from experiments.plots import style
from experiments.results.cells import Cells
from experiments.results.file_names import flags, variant
from experiments.results.plan import TRAINED
from experiments.runs.learning_rate import decay_note
from experiments.statistics.intervals import caution, margin, written
from llc.intervals import half_widths


def write_report(cells: Cells, names: list[str], note: str) -> Path:
    """Draws these figures into figures/ (SVG and PNG) and writes report.html around them; returns its path."""
    page = Page(
        title=f"{cells.run.name}: which head does what, and when it learned it",
        about="The main numbers and figures of one training run: the circuit that does induction, and every head's "
        "learning coefficient, attention and paths over training.",
        sections=[_findings(cells), *(_figure(cells, name) for name in names), _affected(cells), _how(cells)],
        made=Made(f"devcircuits reproduce {flags(cells.run, cells.plan)}", cells.run.name),
        lead=_head(cells, note),
    )
    return saving.save(page, cells.folder / f"report{variant(cells.run, cells.plan)}.html", cells)


def best_rival(cuts: xr.Dataset, previous: str) -> tuple[str, str]:
    """The sources and the input (via) of the cut that removes most, apart from k from the previous-token heads."""
    removed = cuts.removed.to_series().drop((previous, "k"))
    source, via = removed.idxmax()
    return str(source), str(via)


def _figure(cells: Cells, name: str) -> Section:
    """A figure with its caption and its command; draws of single chains are folded away."""
    svg, _ = files.write_figure(cells, name)
    figure = figures.get(name)
    picture = elements.captioned(pictures.embedded(svg.read_bytes(), figure.CAPTION), figure.CAPTION)
    if name in figures.OF_TRACES:
        picture = elements.folded("Show the figure", picture)
    return Section(figure.TITLE, picture + macros("report").made_by(files.figure_command(cells, name)))


def _head(cells: Cells, note: str) -> Markup:
    run, preset = cells.run, cells.run.config["preset"]
    model = run.config["model"]
    tokens = run.steps[-1] * run.tokens_per_step / 1e6
    kind = "attention only" if run.model_config().attn_only else "with MLPs"
    made = "adopted" if run.config["seed"] is None else f"{preset['name']} preset, seed {run.config['seed']}"
    shape = (
        f"{model['n_layers']} layers, {model['n_heads']} heads of width {model['d_head']} each, "
        f"d_model {model['d_model']}, {kind}, {made}; {tokens:.0f} million training tokens, "
        f"{len(run.steps)} checkpoints, measured on held-out text of the corpus {cells.plan.corpus}."
    )
    caution = decay_note(run, cells.steps(RLLC))
    return elements.joined(elements.paragraph(shape), elements.noted("Note", note), elements.noted("Caution", caution))


def _affected(cells: Cells) -> Section:
    try:
        return report_tokens.section(cells)
    except NotMeasurable as error:  # too little text, or too short rows, for this part alone
        return Section("The most affected tokens", elements.not_measured(error))


def _findings(cells: Cells) -> Section:
    """The induction circuit in sentences and a table, read off the cells."""
    circuit = cells.table(INDUCTION_HEADS).isel(step=0)
    scores = cells.table(SCORES).isel(step=-1)
    previous, induction = circuit.attrs["previous"], circuit.attrs["induction"]
    columns = (
        *("", "copy gain", f"k from {previous}", "q from the same", "v"),
        *("best other cut of as many heads", "k removes more by"),
    )
    rows = [_cut_row(circuit.sel(data=text), scores.sel(data=text), text, previous) for text in circuit.data.values]
    body = macros("report").circuit(
        _with_scores(scores, previous, "previous_token"),
        _with_scores(scores, induction, "prefix_matching"),
        _key_composition(cells, previous, induction),
        induction,
        elements.table(columns, rows),
        f"{_verdict(circuit, previous)} {caution(circuit, 'removed', 'shortfall')}".strip(),
    )
    return Section("The induction circuit", body)


def _cut_row(cuts: xr.Dataset, scores: xr.Dataset, text: str, previous: str) -> list[str]:
    source, via = best_rival(cuts, previous)
    rival = cuts.sel(sources=source, via=via)
    return [
        style.TEXT_NAMES[text],
        _interval(scores, "copy_gain"),
        *(_interval(cuts.sel(sources=previous, via=name), "removed") for name in ("k", "q", "v")),
        f"{_interval(rival, 'removed')} ({via} from {source})",
        _interval(rival, "shortfall"),
    ]


def _verdict(circuit: xr.Dataset, previous: str) -> str:
    """One sentence: does k from the previous-token heads remove more than every other cut, beyond its interval?"""
    beaten = []
    for text in circuit.data.values.tolist():
        cuts = circuit.sel(data=text)
        rival = cuts.sel(dict(zip(("sources", "via"), best_rival(cuts, previous), strict=True)))
        beaten.append(float(rival.shortfall) > float(margin(rival, "shortfall")))
    if all(beaten):
        return (
            "On both texts the key paths from the previous-token heads matter more than any other cut of as many heads."
        )
    return (
        "The key paths from the previous-token heads do not remove more than every other cut of as many heads on both "
        "texts: the model (at this checkpoint) does it otherwise, as the table and the paths figure show."
    )


def _with_scores(scores: xr.Dataset, heads: str, score: str) -> str:
    names = heads.split("+")
    return ", ".join(f"{name} ({_interval(scores.sel(restriction=name), score, digits=3)})" for name in names)


def _key_composition(cells: Cells, previous: str, induction: str) -> str:
    last = cells.table(COMPOSITION).isel(step=-1)
    pairs = last.composition.sel(via="k", source=previous.split("+"), target=induction.split("+")).to_series()
    source, target = pairs.idxmax()
    value, base, spread = float(pairs.max()), float(last.baseline), float(last.baseline_sd)
    return f"{source} into {target}, {value:.3f} against {base:.3f} ± {spread:.3f} (sd) of random matrices"


def _interval(measured: xr.Dataset, name: str, digits: int = 2) -> str:
    return written(measured, name, digits)


def _how(cells: Cells) -> Section:
    llc = cells.plan.llc
    rllc = cells.table(RLLC)
    weights = "Weights as trained, nothing folded (composition scores fold ln1 into the reading weights)"
    if cells.plan.gauge != TRAINED:
        weights += f", but for learning coefficients, which are of the {cells.plan.gauge} gauge"
    relative = (half_widths(rllc) / rllc.value).values
    body = macros("report").how(
        weights,
        llc,
        f"{100 * float(xr.DataArray(relative).median()):.1f}",
        int(rllc.bad_chains.sum()),
        f"{int((rllc.verdict == 'trust').sum())} of {rllc.verdict.size}",
        f"{float(rllc.kappa.median()):.2f}",
        f"{float((rllc.value / rllc.temperature / rllc.noise_value).median()):.2f}",
    )
    return Section("How these numbers were made", body)
