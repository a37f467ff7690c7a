"""One self-contained page: what was found, each figure with what to see in it and the command that made it."""

import base64
import html
import io
from pathlib import Path

import matplotlib
import xarray as xr
from matplotlib.figure import Figure

from ablations.not_measurable import NotMeasurable
from experiments import figures
from experiments.measurements.composition import COMPOSITION
from experiments.measurements.induction_heads import INDUCTION_HEADS
from experiments.measurements.rllc import RLLC
from experiments.measurements.scores import SCORES
from experiments.pages import affected_page, report_tokens
from experiments.plots import style
from experiments.results.cells import Cells
from experiments.runs.run import tokens_seen
from experiments.storage.files import write_bytes

STYLE = """
body { font: 16px/1.55 system-ui, sans-serif; color: #1a1a1a; max-width: 1080px; margin: 2.5rem auto;
padding: 0 1.2rem }
h1 { font-size: 1.7rem; margin-bottom: .2rem } h2 { font-size: 1.25rem; margin-top: 2.4rem }
figure { margin: 1rem 0 } figure img { width: 100%; height: auto } figcaption { color: #444; font-size: .92rem }
table { border-collapse: collapse; font-size: .92rem; margin: .8rem 0 }
td, th { padding: .28rem .8rem; text-align: left; border-bottom: 1px solid #ddd }
td.n { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums }
code { background: #f3f3f3; padding: .1rem .3rem; border-radius: 3px; font-size: .88rem } .quiet { color: #666 }
"""


def write_report(cells: Cells, names: list[str], note: str) -> Path:
    """Draws these figures into figures/ (SVG and PNG) and writes report.html around them."""
    sections = [_figure_section(cells, name) for name in names]
    tokens = _affected(cells)
    page = "\n".join([_head(cells, note), _findings(cells), *sections, tokens, _how(cells)])
    title = f"{cells.run.name}: which head does what, and when it learned it"
    document = (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{html.escape(title)}</title><style>{STYLE}{affected_page.STYLE}</style></head><body>\n"
        f"<h1>{html.escape(title)}</h1>\n{page}\n</body></html>\n"
    )
    path = cells.folder / "report.html"
    write_bytes(path, document.encode())
    return path


def write_figure(cells: Cells, name: str) -> list[Path]:
    """One figure as SVG and PNG."""
    module = figures.get(name)
    return write_drawn(cells, name, module.draw(module.compute(cells.run, cells.folder, cells.plan)))


def write_table_and_figure(cells: Cells, name: str, dataset: xr.Dataset, figure: Figure) -> list[Path]:
    """A dataset as a table (CSV) and its figure (SVG and PNG)."""
    table = cells.folder / "tables" / f"{name}.csv"
    write_bytes(table, dataset.to_dataframe().reset_index().to_csv(index=False).encode())
    return [table, *write_drawn(cells, name, figure)]


def figure_command(cells: Cells, name: str) -> str:
    return f"python -m experiments figure {name} --run {cells.run.name}"


def write_drawn(cells: Cells, name: str, figure: Figure) -> list[Path]:
    """A figure as SVG and PNG."""
    paths = [cells.folder / "figures" / f"{name}.{suffix}" for suffix in ("svg", "png")]
    for path in paths:
        write_bytes(path, _render(figure, path.suffix[1:]))
    return paths


def _render(figure: Figure, suffix: str) -> bytes:
    content = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "devcircuits", "font.family": "DejaVu Sans"}):
        metadata = {"Date": None} if suffix == "svg" else None
        figure.savefig(content, format=suffix, dpi=150, metadata=metadata, facecolor="white")
    return content.getvalue()


def _figure_section(cells: Cells, name: str) -> str:
    svg, _ = write_figure(cells, name)
    image = base64.b64encode(svg.read_bytes()).decode()
    caption = html.escape(figures.get(name).CAPTION)
    return (
        f"<h2>{html.escape(figures.get(name).TITLE)}</h2>\n<figure>"
        f'<img alt="{caption}" src="data:image/svg+xml;base64,{image}"><figcaption>{caption}</figcaption></figure>\n'
        f"<p class=quiet>Made by <code>{html.escape(figure_command(cells, name))}</code></p>"
    )


def _head(cells: Cells, note: str) -> str:
    run, preset = cells.run, cells.run.config["preset"]
    model = run.config["model"]
    tokens = float(tokens_seen(run, run.steps[-1]))
    kind = "attention only" if run.model_config().attn_only else "with MLPs"
    made = "adopted" if run.config["seed"] is None else f"{preset['name']} preset, seed {run.config['seed']}"
    lines = [
        f"{model['n_layers']} layers, {model['n_heads']} heads of width {model['d_head']} each, "
        f"d_model {model['d_model']}, "
        f"{kind}, {made}; {tokens:.0f} million training tokens, "
        f"{len(run.steps)} checkpoints, measured on held-out text of the corpus {cells.plan.corpus}."
    ]
    if note:
        lines.append(f"<b>Note:</b> {html.escape(note)}.")
    return "<p>" + "</p><p>".join(lines) + "</p>"


def _affected(cells: Cells) -> str:
    try:
        return report_tokens.section(cells)
    except NotMeasurable as error:  # too little text, or too short rows, for this part alone
        return f"<h2>The most affected tokens</h2><p>Not measured: {html.escape(str(error))}.</p>"


def _findings(cells: Cells) -> str:
    """The induction circuit in sentences and a table, read off the cells."""
    circuit = cells.table(INDUCTION_HEADS).isel(step=0)
    scores = cells.table(SCORES).isel(step=-1)
    previous, induction = circuit.attrs["previous"], circuit.attrs["induction"]
    rows = [
        "<h2>The induction circuit</h2>",
        f"<p>Previous-token heads: {_with_scores(scores, previous, 'previous_token')}. "
        f"Induction heads (prefix-matching score): {_with_scores(scores, induction, 'prefix_matching')}. "
        f"Their strongest composition through keys: {_key_composition(cells, previous, induction)}.</p>",
        f"<p>What is removed of the copy gain (nats per token, 95% intervals) when paths into {induction} are cut, "
        "each source's output replaced by its mean:</p>",
        "<table><tr><th></th><th>copy gain</th><th>k from " + previous + "</th><th>q from the same</th><th>v</th>"
        "<th>best other cut of as many heads</th><th>k removes more by</th></tr>",
    ]
    for text in circuit.data.values.tolist():
        rows.append(_cut_row(circuit.sel(data=text), scores.sel(data=text), text, previous))
    return "\n".join([*rows, "</table>", f"<p>{_verdict(circuit, previous)}</p>"])


def _cut_row(cuts: xr.Dataset, scores: xr.Dataset, text: str, previous: str) -> str:
    claimed = [_interval(cuts.sel(sources=previous, via=via), "removed") for via in ("k", "q", "v")]
    source, via = best_rival(cuts, previous)
    rival = cuts.sel(sources=source, via=via)
    cells = [
        _interval(scores, "copy_gain"),
        *claimed,
        f"{_interval(rival, 'removed')} ({via} from {source})",
        _interval(rival, "shortfall"),
    ]
    return f"<tr><td>{style.TEXT_NAMES[text]}</td>" + "".join(f"<td class=n>{cell}</td>" for cell in cells) + "</tr>"


def best_rival(cuts: xr.Dataset, previous: str) -> tuple[str, str]:
    """The cut that removes most, apart from k from the previous-token heads."""
    removed = cuts.removed.to_series().drop((previous, "k"))
    source, via = removed.idxmax()
    return str(source), str(via)


def _verdict(circuit: xr.Dataset, previous: str) -> str:
    """One sentence: does k from the previous-token heads remove more than every other cut, beyond its interval?"""
    beaten = []
    for text in circuit.data.values.tolist():
        at = circuit.sel(data=text)
        rival = at.sel(dict(zip(("sources", "via"), best_rival(at, previous), strict=True)))
        beaten.append(float(rival.shortfall) > style.TWO_SIDED * float(rival.shortfall_se))
    if all(beaten):
        return (
            "On both texts the key paths from the previous-token heads matter more than any other cut of as many heads."
        )
    return (
        "The key paths from the previous-token heads do not remove more than every other cut of as many heads on both "
        "texts: the model (at this checkpoint) does it otherwise, as the table and the paths figure show."
    )


def _with_scores(scores: xr.Dataset, heads: str, score: str) -> str:
    at = {head: scores.sel(restriction=head) for head in heads.split("+")}
    return ", ".join(f"{head} ({_interval(found, score, digits=3)})" for head, found in at.items())


def _key_composition(cells: Cells, previous: str, induction: str) -> str:
    last = cells.table(COMPOSITION).isel(step=-1)
    pairs = last.composition.sel(via="k", source=previous.split("+"), target=induction.split("+")).to_series()
    source, target = pairs.idxmax()
    value, base, spread = float(pairs.max()), float(last.baseline), float(last.baseline_sd)
    return f"{source} into {target}, {value:.3f} against {base:.3f} ± {spread:.3f} (sd) of random matrices"


def _interval(at: xr.Dataset, name: str, digits: int = 2) -> str:
    return f"{float(at[name]):.{digits}f} ± {style.TWO_SIDED * float(at[name + '_se']):.{digits}f}"


def _how(cells: Cells) -> str:
    llc = cells.plan.llc
    rllc = cells.table(RLLC)
    relative = (rllc.se / rllc.value).values
    trusted, all_of_them = int((rllc.verdict == "trust").sum()), rllc.verdict.size
    felt = float((rllc.value / rllc.temperature / rllc.noise_value).median())
    return (
        "<h2>How these numbers were made</h2><p>Weights as trained, nothing folded (composition scores fold ln1 into "
        "the reading weights). Learning coefficients: SGLD, "
        f"{llc.name} settings (lr {llc.lr:g}, localization {llc.localization:g}, nbeta {llc.nbeta:g}, "
        f"batch {llc.batch_size}, {llc.num_chains} chains of {llc.num_draws} draws, the first {llc.num_burnin} "
        "discarded); every loss is paired with the "
        "loss of the unperturbed weights on the same minibatch, and errors are those of the chain-averaged series. "
        f"Median standard error {100 * float(xr.DataArray(relative).median()):.1f}% of the value; "
        f"{int(rllc.bad_chains.sum())} chains diverged; the health record trusts {trusted} of {all_of_them} estimates. "
        f"Median kappa {float(rllc.kappa.median()):.2f}, and the median value is {felt:.2f} of what plain noise gives: "
        "at these settings an rLLC is a sensitivity to noise, in proportion to nbeta and dependent on the scale of the "
        "weights. Read differences within a layer, not absolute values. Path cuts are exact: the source's "
        "contribution is replaced before the target's layer norm, which is recomputed. "
        "Every number stands in <code>tables/</code> and <code>summary.json</code>.</p>"
        "<p class=quiet>All of it: "
        f"<code>python -m experiments reproduce --run {html.escape(cells.run.name)}</code></p>"
    )
