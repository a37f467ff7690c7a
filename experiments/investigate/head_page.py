"""A head's card as HTML: what it is, when it learned it, where it attends, what it matters for, its connections."""

import numpy as np
import pandas as pd
import xarray as xr
from markupsafe import Markup

from ablations.not_measurable import NotMeasurable
from experiments.heldout import head_effects
from experiments.heldout.ablation_pass import DRAWS
from experiments.heldout.head_types import ATTENTION
from experiments.heldout.type_passes import JOINT_TOKENS
from experiments.investigate import attention_grid, score_parts
from experiments.investigate.head_measures import HeadMeasures
from experiments.pages import affected_page
from experiments.pages.layout import kind_bar
from experiments.pages.layout.elements import folded, joined, noted, paragraph, quiet, strong, table
from experiments.pages.layout.environment import macros
from experiments.pages.layout.page import Made, Page, section
from experiments.pages.layout.pictures import image
from experiments.plots import head_curve, head_paths
from experiments.plots.style import VIA_NAMES
from experiments.results.file_names import flags
from experiments.runs.learning_rate import decay_note
from experiments.runs.run import tokens_seen
from experiments.statistics.intervals import caution, give_or_take, plus_minus, written
from llc import intervals, settings

STRONG = 3.0  # standard deviations above the baseline at which a composition is named


def page(measures: HeadMeasures) -> Page:
    """The card; what is missing is computed first."""
    measures.compute()
    snapshot, cells = measures.snapshot, measures.snapshot.cells
    seen = float(tokens_seen(cells.run, [snapshot.step])[0])
    trained = f" ({seen:.3g} million training tokens)" if seen else ""
    at = f"{cells.run.name}, checkpoint {snapshot.step}{trained}, corpus {cells.plan.corpus}"
    return Page(
        title=measures.head,
        about=f"All that is measured of one attention head: {at}.",
        sections=[
            section("What it is", lambda: _evidence(measures)),
            section("When it learned it: learning coefficient over training", lambda: _rllc(measures)),
            section("Where it looks", lambda: attention_grid.grid(measures.attention)),
            section("Why it looks there", lambda: _score_parts(measures)),
            section("The tokens it matters most for", lambda: _affected(measures)),
            section("The tokens it expresses and suppresses", lambda: _expressed(measures)),
            section("Whose output its weights read, and who reads its own", lambda: _composition(measures)),
            section("What cutting its paths costs", lambda: _paths(measures)),
        ],
        made=Made(_command(measures), cells.run.name),
        lead=noted("Note", cells.run.corpus_note(cells.inputs.corpus)),
        label=_type(measures),
        name=f"{measures.head} of {snapshot.title}",
    )


def _type(measures: HeadMeasures) -> str:
    """The head's type; nothing where it is not known, and its section says why."""
    try:
        return str(measures.evidence.type.item())
    except NotMeasurable:
        return ""


def _command(measures: HeadMeasures) -> str:
    """The command line that makes the card again."""
    cells = measures.snapshot.cells
    text = " --text ..." * bool(measures.text)
    return (
        f"devcircuits investigate {measures.head} {flags(cells.run, cells.plan)} --step {measures.snapshot.step}{text}"
    )


def _evidence(measures: HeadMeasures) -> Markup:
    evidence, types = measures.evidence, measures.snapshot.types
    rows = [[head_effects.NAME, written(evidence, "effect", 4)], [head_effects.DIRECT, written(evidence, "direct", 4)]]
    for name, label in ATTENTION.items():
        rows.append([label, written(evidence, name)])
    sorts = zip(evidence.sort.values, evidence.learned.values, types.multigrams.values, strict=True)
    learned = ", ".join(f"{int(count)} of {int(total)} {sort}s" for sort, count, total in sorts)
    rows.append(["multigrams of the model that it has learned", learned])
    kind, why = evidence.labels.item(), evidence.why.item()
    measured = (
        f"On {head_effects.population(types)}; intervals are clustered by document. Mean ablation of all heads at once "
        f"raises the loss by {float(types.all_heads):.2f} nats per token, on the first "
        f"{min(types.attrs['tokens'], JOINT_TOKENS)} of them. {caution(evidence, 'effect', *ATTENTION)}"
    )
    return joined(
        paragraph(strong(kind[0].upper() + kind[1:]) + f": {why}."),
        table(("", "with 95% confidence interval"), rows, kind="loose"),
        _kinds(evidence, types),
        quiet(measured),
    )


def _kinds(evidence: xr.Dataset, types: xr.Dataset) -> Markup:
    """Shares of kinds of tokens as two bars; a token may be of several kinds, so bars are cut to their whole."""
    names = [str(kind) for kind in types.kind.values]
    bars = {
        "the 40 tokens its direct path matters most for": kind_bar.pieces(names, evidence.affected.values),
        "all tokens": kind_bar.pieces(names, types.usual.values),
    }
    made: Markup = macros("kinds").bars(bars, kind_bar.key(names))
    return made


def _rllc(measures: HeadMeasures) -> Markup:
    layer, own, step = measures.layer_rllc, measures.rllc, measures.snapshot.step
    how, of_others = settings.from_json(layer.attrs["settings"]), measures.snapshot.cells.plan.of_others
    seen = layer.assign_coords(tokens=("step", tokens_seen(measures.snapshot.cells.run, layer.step.values)))
    drawn = head_curve.draw(
        intervals.with_half_widths(seen)[["value", "half_width"]],
        measures.head,
        step,
        f"{how.name} settings{of_others}",
    )
    others = f"the other heads of layer {measures.layer}" if layer.sizes["restriction"] > 1 else ""
    alt = f"rLLC of {measures.head} over training, with 95% confidence intervals"
    alt += f", and of {others}" if others else ""
    grey = f"; grey: {others} (compare within a layer only)" if others else ""
    explained = (
        f"Blue: {measures.head} with 95% confidence intervals; ringed: this checkpoint{grey}. The rLLC has no unit: "
        f"nbeta times the mean rise of the loss in nats. {how.name} names these settings of the chains: "
        f"{layer.attrs['kernel'].upper()}, "
        f"lr {how.lr:g}, localization {how.localization:g}, nbeta {how.nbeta:g}, batch {how.batch_size}, "
        f"{how.num_chains} chains of {how.num_draws} draws, the first {how.num_burnin} discarded; "
        f"{layer.attrs['loss']} loss{of_others}."
    )
    told = noted("Caution", decay_note(measures.snapshot.cells.run, layer.step.values.tolist()))
    words = joined(told, _verdict(own, step), quiet(explained))
    made: Markup = macros("head").side([image(drawn, alt)], words)
    return made


def _verdict(own: xr.Dataset, step: int) -> Markup:
    if step not in own.step.values:
        sampled = ", ".join(map(str, own.step.values.tolist()))
        return paragraph(f"Not sampled at step {step}: it is at {sampled}.")
    at = own.sel(step=step)
    if not np.isfinite(float(at.value)):
        return paragraph("Not a number: a chain diverged." if at.verdict.item() else f"Not sampled at step {step}.")
    words = {
        "trust": "the health record trusts it",
        "caution": "the health record asks for caution",
        "do not trust": "the health record does not trust it",
    }
    regime = (
        f"kappa, the slope of log rLLC in log nbeta (near 0: a plateau; near 1: a sensitivity to plain noise), is "
        f"{plus_minus(float(at.kappa), float(at.kappa_se), 2)}: {at.regime.item()}"
    )
    noise = give_or_take(float(at.noise_value), float(intervals.noise_half_widths(at)), 2)
    value = give_or_take(float(at.value), float(intervals.half_widths(at)), 2)
    return joined(
        paragraph("At this checkpoint " + strong(value) + f"; {words[at.verdict.item()]}."),
        *map(quiet, at.advice.item().splitlines()),
        paragraph(f"{regime} (plain noise of the same size gives {noise})."),
    )


def _affected(measures: HeadMeasures) -> Markup:
    """A suppression head matters for the tokens that it makes worse."""
    worse = _type(measures) == "suppression"
    contexts, change = (measures.made_worse, "falls") if worse else (measures.contexts, "rises")
    said = (
        f"Of {measures.affected_pass.tokens} held-out tokens, those whose loss {change} most under resample ablation "
        f"of {measures.head} (its output is replaced by that on {DRAWS} other documents, the donors): "
        f"chosen with one half of the donors, printed with the other (95% "
        "confidence intervals over the donors). Blue: where it attends from the token before the marked one."
    )
    return quiet(said) + affected_page.hits(contexts)


def _expressed(measures: HeadMeasures) -> Markup:
    """What is known of it by now: it takes minutes, which a card does not wait for."""
    try:
        frame = measures.expressed
    except NotMeasurable as error:
        return quiet(f"Left out: {error}.")
    if not len(frame):
        return paragraph("None of the tokens has a susceptibility that is surely not 0.")
    rows = [
        [
            macros("head").in_context(row["context"], row["target"]),
            give_or_take(1e3 * row["value"], 1e3 * row["half_width"], 2),
            f"{1e3 * row['noise']:+.2f}",
        ]
        for row in frame.to_dict("records")
    ]
    columns = ("token, in bold", "susceptibility, 0.001 nats²", "noise alone")
    said = (
        "Minus the covariance, while the head's weights vary, of the text's mean loss with what the token's loss "
        "exceeds it by. Negative: what makes the text worse makes the token still worse (the head expresses it); "
        "positive: it makes it better (the head suppresses it). 95% confidence intervals; the largest of many, so too "
        "large on average. Beside it what Gaussian draws of the weights give, on which the loss has no influence."
    )
    return quiet(said) + table(columns, rows, kind="loose")


def _score_parts(measures: HeadMeasures) -> Markup:
    frame = measures.score_parts
    rows = [
        [f"{row['query_source']} with {row['key_source']}", give_or_take(row["contrast"], row["half_width"], 2)]
        for row in frame.head(score_parts.TOP).to_dict("records")
    ]
    pairs = table(("query with key", "raises the score by"), rows)
    made: Markup = macros("head").side([pairs], macros("head").score_parts(frame.attrs))
    return made


def _composition(measures: HeadMeasures) -> Markup:
    frame = measures.composition
    into, out = frame[frame.target == measures.head], frame[frame.source == measures.head]
    parts = [pair for part, other in ((into, "source"), (out, "target")) if len(part) for pair in _pairs(part, other)]
    explained = (
        "Composition score of the weights, from 0 to 1. By chance it is "
        f"{float(frame.baseline.iloc[0]):.3f}: the same two matrices, turned against each other at random. In "
        "brackets, and as shade: by how many standard deviations of chance the squared score is above it. "
        f"Bold: at least {STRONG:g}."
    )
    made: Markup = macros("head").side(parts, quiet(explained))
    return made


def _pairs(frame: pd.DataFrame, other: str) -> list[Markup]:
    """One table for each layer of the other heads."""
    layers = frame[other].str.partition("H")[0].str[1:]
    parts = []
    for layer, part in frame.groupby(layers, sort=False):
        what = f"It reads from layer {layer}" if other == "source" else f"Read by layer {layer}"
        rows = [[str(name), *map(_score, rows.to_dict("records"))] for name, rows in part.groupby(other, sort=False)]
        columns = ("", *(VIA_NAMES[via] for via in part.via.unique()))
        parts.append(macros("head").titled(what, table(columns, rows)))
    return parts


def _score(row: dict) -> Markup:
    shade = f"{min(0.5, 0.02 * max(0.0, row['sds'])):.2f}"
    made: Markup = macros("head").score(f"{row['score']:.3f} ({row['sds']:+.1f})", shade, row["sds"] >= STRONG)
    return made


def _paths(measures: HeadMeasures) -> Markup:
    frame, parts = measures.paths, []
    between = frame[frame.via != ""]
    for other, words in (
        ("source", f"into {measures.head}, from each earlier head"),
        ("target", f"out of {measures.head}"),
    ):
        part = between[(between.target if other == "source" else between.source) == measures.head]
        if len(part):
            drawn = image(
                head_paths.draw(part, other), f"what cutting each path {words} costs, with 95% confidence intervals"
            )
            parts.append(macros("head").titled(f"Paths {words}", drawn))
    direct, note = frame[frame.via == ""].iloc[0], measures.snapshot.cells.run.path_note
    explained = (
        "One path at a time is cut (mean ablation of what it carries, layer norm recomputed). Bars: 95% confidence "
        "intervals, clustered by document above, by sequence below. Positive: the path helps."
        f"{f' {note}.' if note else ''} {caution(frame, 'effect', 'copy_gain')}"
    )
    own = (
        "Its own path to the output: "
        + strong(written(direct, "effect"))
        + f" nats per token of held-out text ({measures.path_tokens} tokens)."
    )
    side: Markup = macros("head").side(parts, paragraph(own) + quiet(explained))
    return side + _numbers(frame)


def _numbers(frame: pd.DataFrame) -> Markup:
    """Every path in a table that is folded away, the largest effect first."""
    ranked = frame.reindex(frame.effect.abs().sort_values(ascending=False).index).to_dict("records")
    rows = [[_path(row), written(row, "effect", 4), written(row, "copy_gain")] for row in ranked]
    columns = ("path", "loss rise, nats per token", "copy gain removed, nats per token")
    return folded(f"All {len(rows)} paths in numbers", table(columns, rows))


def _path(row: dict) -> str:
    return f"{row['source']} to {row['target']}" + (f", {VIA_NAMES[row['via']]}" if row["via"] else "")
