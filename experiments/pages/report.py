"""A run's report as one page: what was found, each figure with what to see in it, and the command that made it."""

import html
from pathlib import Path

import xarray as xr

from ablations.not_measurable import NotMeasurable
from experiments import figures
from experiments.figures import files
from experiments.measurements.composition import COMPOSITION
from experiments.measurements.induction_heads import INDUCTION_HEADS
from experiments.measurements.rllc import RLLC
from experiments.measurements.scores import SCORES
from experiments.pages import affected_page, report_tokens, shell
from experiments.plots import style
from experiments.results.cells import Cells
from experiments.results.file_names import variant
from experiments.results.plan import TRAINED
from experiments.runs.learning_rate import decay_note
from experiments.statistics.intervals import caution, margin, written
from llc.intervals import half_widths


def write_report(cells: Cells, names: list[str], note: str) -> Path:
    """Draws these figures into figures/ (SVG and PNG) and writes report.html around them; returns its path."""
    title = f"{cells.run.name}: which head does what, and when it learned it"
    body = "\n".join(
        [
            f"<h1>{html.escape(title)}</h1>",
            _head(cells, note),
            _findings(cells),
            *(_figure_section(cells, name) for name in names),
            _affected(cells),
            _how(cells),
        ]
    )
    path = cells.folder / f"report{variant(cells.run, cells.plan)}.html"
    shell.write(path, title, shell.fragment(body, affected_page.RULES))
    return path


def best_rival(cuts: xr.Dataset, previous: str) -> tuple[str, str]:
    """The sources and the input (via) of the cut that removes most, apart from k from the previous-token heads."""
    removed = cuts.removed.to_series().drop((previous, "k"))
    source, via = removed.idxmax()
    return str(source), str(via)


def _figure_section(cells: Cells, name: str) -> str:
    svg, _ = files.write_figure(cells, name)
    figure = figures.get(name)
    picture = shell.captioned(shell.embedded(svg.read_bytes(), figure.CAPTION), figure.CAPTION)
    command = html.escape(files.figure_command(cells, name))
    return f"<h2>{html.escape(figure.TITLE)}</h2>\n{picture}\n<p class=quiet>Made by <code>{command}</code></p>"


def _head(cells: Cells, note: str) -> str:
    run, preset = cells.run, cells.run.config["preset"]
    model = run.config["model"]
    tokens = run.steps[-1] * run.tokens_per_step / 1e6
    kind = "attention only" if run.model_config().attn_only else "with MLPs"
    made = "adopted" if run.config["seed"] is None else f"{preset['name']} preset, seed {run.config['seed']}"
    lines = [
        f"{model['n_layers']} layers, {model['n_heads']} heads of width {model['d_head']} each, "
        f"d_model {model['d_model']}, "
        f"{kind}, {made}; {tokens:.0f} million training tokens, "
        f"{len(run.steps)} checkpoints, measured on held-out text of the corpus {html.escape(cells.plan.corpus)}."
    ]
    if note:
        lines.append(f"<b>Note:</b> {html.escape(note)}.")
    if caution := decay_note(run, cells.steps(RLLC)):
        lines.append(f"<b>Caution:</b> {html.escape(caution)}.")
    return "<p>" + "</p><p>".join(lines) + "</p>"


def _affected(cells: Cells) -> str:
    try:
        return report_tokens.section(cells)
    except NotMeasurable as error:  # too little text, or too short rows, for this part alone
        return f"<h2>The most affected tokens</h2>\n{shell.not_measured(error)}"


def _findings(cells: Cells) -> str:
    """The induction circuit in sentences and a table, read off the cells."""
    circuit = cells.table(INDUCTION_HEADS).isel(step=0)
    scores = cells.table(SCORES).isel(step=-1)
    previous, induction = circuit.attrs["previous"], circuit.attrs["induction"]
    columns = (
        *("", "copy gain", f"k from {previous}", "q from the same", "v"),
        *("best other cut of as many heads", "k removes more by"),
    )
    rows = [_cut_row(circuit.sel(data=text), scores.sel(data=text), text, previous) for text in circuit.data.values]
    return "\n".join(
        [
            "<h2>The induction circuit</h2>",
            f"<p>Previous-token heads: {_with_scores(scores, previous, 'previous_token')}. "
            f"Induction heads (prefix-matching score): {_with_scores(scores, induction, 'prefix_matching')}. "
            f"Their strongest composition through keys: {_key_composition(cells, previous, induction)}.</p>",
            "<p>How much of the copy gain is removed (nats per token, 95% confidence intervals) when paths into "
            f"{induction} are cut (mean ablation of what each source writes):</p>",
            shell.table(columns, rows),
            f"<p>{_verdict(circuit, previous)} {caution(circuit, 'removed', 'shortfall')}</p>",
        ]
    )


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


def _how(cells: Cells) -> str:
    llc = cells.plan.llc
    rllc = cells.table(RLLC)
    weights = "Weights as trained, nothing folded (composition scores fold ln1 into the reading weights)"
    if cells.plan.gauge != TRAINED:
        weights += f", but for learning coefficients, which are of the {cells.plan.gauge} gauge"
    relative = (half_widths(rllc) / rllc.value).values
    trusted, estimates = int((rllc.verdict == "trust").sum()), rllc.verdict.size
    of_noise = float((rllc.value / rllc.temperature / rllc.noise_value).median())
    return (
        f"<h2>How these numbers were made</h2><p>{weights}. Learning coefficients: SGLD, "
        f"{llc.name} settings (lr {llc.lr:g}, localization {llc.localization:g}, nbeta {llc.nbeta:g}, "
        f"batch {llc.batch_size}, {llc.num_chains} chains of {llc.num_draws} draws, the first {llc.num_burnin} "
        "discarded); every loss is paired with the "
        "loss of the unperturbed weights on the same minibatch, and intervals are those of the chain-averaged series, "
        "by a quantile that knows how few its effective draws are. "
        f"Median half width of a 95% interval {100 * float(xr.DataArray(relative).median()):.1f}% of the value; "
        f"{int(rllc.bad_chains.sum())} chains diverged; the health record trusts {trusted} of {estimates} estimates. "
        f"Median kappa {float(rllc.kappa.median()):.2f}, and the median value is {of_noise:.2f} of what plain noise "
        "gives: at these settings an rLLC is a sensitivity to noise, in proportion to nbeta and dependent on the scale "
        "of the weights. Read differences within a layer, not absolute values. Path cuts are exact: the source's "
        "contribution is replaced before the target's layer norm, which is recomputed. "
        "Every number stands in <code>tables/</code> and <code>summary.json</code>.</p>"
        "<p class=quiet>All of it: "
        f"<code>devcircuits reproduce --run {html.escape(cells.run.name)}</code></p>"
    )
