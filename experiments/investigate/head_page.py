"""A head's card as HTML: what it is, when it learned it, where it attends, what it matters for, its connections."""

import html

import numpy as np
import pandas as pd
import xarray as xr

from ablations.not_measurable import NotMeasurable
from experiments.heldout import head_effects
from experiments.heldout.ablation_pass import DRAWS
from experiments.heldout.head_types import ATTENTION, JOINT_TOKENS
from experiments.investigate import attention_grid, score_parts
from experiments.investigate.head_measures import HeadMeasures
from experiments.pages import affected_page, shell
from experiments.pages.shell import image, section, table
from experiments.plots import head_curve, head_paths
from experiments.plots.head_types import KIND_COLORS
from experiments.plots.style import VIA_NAMES
from experiments.runs.learning_rate import decay_note
from experiments.runs.run import tokens_seen
from experiments.statistics.intervals import caution, give_or_take, plus_minus, written
from llc import intervals, settings

STRONG = 3.0  # standard deviations above the baseline at which a composition is named
_RULES = """
.hits { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 27rem), 1fr)); gap: 0 1.6rem }
.kinds { display: flex; height: 1.05rem; width: 100%; border-radius: 3px; overflow: hidden; background: #f3f3f3 }
.kinds i { display: block; height: 100% } .bars { display: grid; grid-template-columns: auto 1fr; gap: .25rem .7rem;
align-items: center; font-size: .87rem; margin: .5rem 0 .2rem; max-width: 42rem }
.context { font: .8rem/1.5 ui-monospace, Menlo, Consolas, monospace; white-space: pre-wrap; overflow-wrap: anywhere }
.context b { outline: 2px solid #D55E00; border-radius: 2px; padding: 0 1px }
.key { font-size: .8rem; color: #444 } .key span { display: inline-block; margin-right: .9rem; white-space: nowrap }
.key b { display: inline-block; width: .75rem; height: .75rem; border-radius: 2px; margin-right: .3rem;
vertical-align: -.08rem }
"""


def card(measures: HeadMeasures) -> str:
    """The card as a fragment of HTML; what is missing is computed first."""
    measures.compute()
    parts = [
        _head(measures),
        section("What it is", lambda: _evidence(measures)),
        section("When it learned it: learning coefficient over training", lambda: _rllc(measures)),
        section("Where it looks", lambda: attention_grid.grid(measures.attention)),
        section("Why it looks there", lambda: _score_parts(measures)),
        section("The tokens it matters most for", lambda: _affected(measures)),
        section("The tokens it expresses and suppresses", lambda: _expressed(measures)),
        section("Whose output its weights read, and who reads its own", lambda: _composition(measures)),
        section("What cutting its paths costs", lambda: _paths(measures)),
    ]
    return shell.fragment("\n".join(parts), affected_page.RULES + _RULES + attention_grid.RULES)


def _head(measures: HeadMeasures) -> str:
    run, cells = measures.snapshot.cells.run, measures.snapshot.cells
    try:
        label = f"<span class=type>{html.escape(measures.evidence.type.item())}</span>"
    except NotMeasurable:  # the section below says why
        label = ""
    seen = float(tokens_seen(run, [measures.snapshot.step])[0])
    trained = f" ({seen:.3g} million training tokens)" if seen else ""
    lines = f"{run.name}, checkpoint {measures.snapshot.step}{trained}, corpus {cells.plan.corpus}"
    note = run.corpus_note(cells.inputs.corpus)
    warning = f"<p class=quiet><b>Note:</b> {html.escape(note)}.</p>" if note else ""
    return f"<h1>{measures.head}{label}</h1>\n<p class=quiet>{html.escape(lines)}</p>{warning}"


def _evidence(measures: HeadMeasures) -> str:
    evidence, types = measures.evidence, measures.snapshot.types
    rows = [[head_effects.NAME, written(evidence, "effect", 4)]]
    for name, label in ATTENTION.items():
        rows.append([label, written(evidence, name)])
    sorts = zip(evidence.sort.values, evidence.learned.values, types.multigrams.values, strict=True)
    learned = ", ".join(f"{int(count)} of {int(total)} {sort}s" for sort, count, total in sorts)
    rows.append(["multigrams of the model that it has learned", html.escape(learned)])
    kind, why = html.escape(evidence.type.item()), html.escape(evidence.why.item())
    measured = (
        f"<p class=quiet>On {head_effects.population(types)}; intervals are clustered by document. Mean ablation of "
        f"all heads at once raises the loss by {float(types.all_heads):.2f} nats per token, on the first "
        f"{min(types.attrs['tokens'], JOINT_TOKENS)} of them. {caution(evidence, 'effect', *ATTENTION)}</p>"
    )
    numbers = table(("", "with 95% confidence interval"), rows, loose=True)
    return f"<p><b>{kind[0].upper() + kind[1:]}</b>: {why}.</p>{numbers}{_kinds(evidence, types)}{measured}"


def _kinds(evidence: xr.Dataset, types: xr.Dataset) -> str:
    """Shares of kinds of tokens as two bars; a token may be of several kinds, so bars are cut to their whole."""
    names = [str(kind) for kind in types.kind.values]

    def bar(shares: np.ndarray) -> str:
        whole = max(1.0, float(shares.sum()))
        pieces = zip(names, (100 * shares / whole).tolist(), shares.tolist(), strict=True)
        return "<div class=kinds>" + "".join(
            f'<i style="width:{width:.2f}%;background:{KIND_COLORS[name]}" title="{name}: {100 * share:.0f}%"></i>'
            for name, width, share in pieces
        ) + "</div>"  # fmt: skip

    swatches = (f'<b style="background:{KIND_COLORS[name]}"></b>{html.escape(name)}' for name in names)
    key = " ".join(f"<span>{swatch}</span>" for swatch in swatches)
    overlap = "A token may be of several kinds: where shares sum to more than 100%, the bar shows them in proportion."
    return (
        f"<div class=bars><span>the 40 tokens it matters most for</span>{bar(evidence.affected.values)}"
        f"<span>all tokens</span>{bar(types.usual.values)}</div><p class=key>{key}</p><p class=quiet>{overlap}</p>"
    )


def _rllc(measures: HeadMeasures) -> str:
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
    alt = f"rLLC of {measures.head} over training, with 95% intervals" + (f", and of {others}" if others else "")
    grey = f"; grey: {others} (compare within a layer only)" if others else ""
    explained = (
        f"<p class=quiet>Blue: {measures.head} with 95% intervals; ringed: this checkpoint{grey}. The rLLC has no "
        f"unit: nbeta times the mean rise of the loss in nats. {how.name} settings: "
        f"{html.escape(layer.attrs['kernel'].upper())}, lr {how.lr:g}, localization {how.localization:g}, nbeta "
        f"{how.nbeta:g}, batch {how.batch_size}, {how.num_chains} chains of {how.num_draws} draws, the first "
        f"{how.num_burnin} discarded; {html.escape(layer.attrs['loss'])} loss{of_others}.</p>"
    )
    caution = decay_note(measures.snapshot.cells.run, layer.step.values.tolist())
    told = f"<p><b>Caution:</b> {html.escape(caution)}.</p>" if caution else ""
    words = f"{told}{_verdict(own, step)}{explained}"
    return f"<div class=side><div>{image(drawn, alt)}</div><div class=wide>{words}</div></div>"


def _verdict(own: xr.Dataset, step: int) -> str:
    if step not in own.step.values:
        sampled = ", ".join(map(str, own.step.values.tolist()))
        return f"<p>Not sampled at step {step}: it is at {sampled}.</p>"
    at = own.sel(step=step)
    if not np.isfinite(float(at.value)):
        return "<p>Not a number: a chain diverged.</p>" if at.verdict.item() else f"<p>Not sampled at step {step}.</p>"
    words = {
        "trust": "the health record trusts it",
        "caution": "the health record asks for caution",
        "do not trust": "the health record does not trust it",
    }
    advice = [f"<p class=quiet>{html.escape(line)}</p>" for line in at.advice.item().splitlines()]
    regime = f"kappa {plus_minus(float(at.kappa), float(at.kappa_se), 2)}: {at.regime.item()}"
    noise = give_or_take(float(at.noise_value), float(intervals.noise_half_widths(at)), 2)
    value = give_or_take(float(at.value), float(intervals.half_widths(at)), 2)
    return (
        f"<p>At this checkpoint <b>{value}</b>; {words[at.verdict.item()]}.</p>"
        + "".join(advice)
        + f"<p>{html.escape(regime)} (plain noise of the same size gives {noise}).</p>"
    )


def _affected(measures: HeadMeasures) -> str:
    """A suppression head matters for the tokens that it makes worse."""
    worse = _is_suppression(measures)
    contexts, change = (measures.made_worse, "falls") if worse else (measures.contexts, "rises")
    hits = [affected_page.hit(context, rank) for rank, context in enumerate(contexts, start=1)]
    return (
        f"<p class=quiet>Of {measures.affected_pass.tokens} held-out tokens, those whose loss {change} most under "
        f"resample ablation of {measures.head} ({DRAWS} donors): chosen with one half of the donors, printed with the "
        "other (95% confidence intervals over the donors). Blue: where it attends from the token before the marked "
        "one.</p>"
        f"<div class=hits>{''.join(hits) or 'No such token.'}</div>"
    )


def _expressed(measures: HeadMeasures) -> str:
    """What is known of it by now: it takes minutes, which a card does not wait for."""
    try:
        frame = measures.expressed
    except NotMeasurable as error:
        return f"<p class=quiet>Left out: {html.escape(str(error))}.</p>"
    if not len(frame):
        return "<p>None of the tokens has a susceptibility that is surely not 0.</p>"
    rows = [
        [
            f"<span class=context>{html.escape(row['context'])}<b>{html.escape(row['target'])}</b></span>",
            give_or_take(1e3 * row["value"], 1e3 * row["half_width"], 2),
            f"{1e3 * row['noise']:+.2f}",
        ]
        for row in frame.to_dict("records")
    ]
    columns = ("token, in bold", "susceptibility, 0.001 nats²", "noise alone")
    return (
        "<p class=quiet>Minus the covariance, while the head's weights vary, of the text's mean loss with what the "
        "token's loss exceeds it by. Negative: what makes the text worse makes the token still worse (the head "
        "expresses it); positive: it makes it better (the head suppresses it). 95% confidence intervals; the largest "
        "of many, so too large on average. Beside it what Gaussian draws of the weights give, on which the loss has "
        "no influence.</p>"
        f"{table(columns, rows, loose=True)}"
    )


def _score_parts(measures: HeadMeasures) -> str:
    frame = measures.score_parts
    about = frame.attrs
    rows = [
        [
            html.escape(f"{row['query_source']} with {row['key_source']}"),
            give_or_take(row["contrast"], row["half_width"], 2),
        ]
        for row in frame.head(score_parts.TOP).to_dict("records")
    ]
    explained = (
        f"<p class=quiet>Of {about['places']} tokens of {about['rows']} rows of held-out text, those that attend most "
        f"to one token (themselves or an earlier one, but not the text's first), by {about['attention']:.2f} on "
        "average. The score of that key, above the mean of the other keys that the query sees and before the softmax, "
        f"is <b>{about['total']:+.2f}</b>; it is the exact sum of what each source of the query makes with each source "
        "of the key. The largest pairs, with 95% confidence intervals over rows; bias: the norm's and the head's."
        "</p>"
    )
    pairs = table(("query with key", "raises the score by"), rows)
    return f"<div class=side><div>{pairs}</div><div class=wide>{explained}</div></div>"


def _is_suppression(measures: HeadMeasures) -> bool:
    try:
        return bool(measures.evidence.type.item() == "suppression")
    except NotMeasurable:  # its section says why
        return False


def _composition(measures: HeadMeasures) -> str:
    frame = measures.composition
    into, out = frame[frame.target == measures.head], frame[frame.source == measures.head]
    parts = [_pairs(part, other) for part, other in ((into, "source"), (out, "target")) if len(part)]
    explained = (
        "<p class=quiet>Composition score of the weights, from 0 to 1. By chance it is "
        f"{float(frame.baseline.iloc[0]):.3f}: the same two matrices, turned against each other at random. In "
        "brackets, and as shade: by how many standard deviations of chance the squared score is above it. "
        f"Bold: at least {STRONG:g}.</p>"
    )
    return f"<div class=side>{''.join(parts)}<div class=wide>{explained}</div></div>"


def _pairs(frame: pd.DataFrame, other: str) -> str:
    """One table for each layer of the other heads."""
    layers = frame[other].str.partition("H")[0].str[1:]
    parts = []
    for layer, part in frame.groupby(layers, sort=False):
        what = f"It reads from layer {layer}" if other == "source" else f"Read by layer {layer}"
        rows = [[str(name), *map(_score, rows.to_dict("records"))] for name, rows in part.groupby(other, sort=False)]
        columns = ("", *(VIA_NAMES[via] for via in part.via.unique()))
        parts.append(f"<div><h3>{what}</h3>{table(columns, rows)}</div>")
    return "".join(parts)


def _score(row: dict) -> str:
    shade = min(0.5, 0.02 * max(0.0, row["sds"]))
    text = f"{row['score']:.3f} ({row['sds']:+.1f})"
    strong = f"<b>{text}</b>" if row["sds"] >= STRONG else text
    return f'<span style="background:rgba(0,114,178,{shade:.2f});padding:.1rem .3rem;border-radius:3px">{strong}</span>'


def _paths(measures: HeadMeasures) -> str:
    frame, parts = measures.paths, []
    between = frame[frame.via != ""]
    for other, words in (
        ("source", f"into {measures.head}, from each earlier head"),
        ("target", f"out of {measures.head}"),
    ):
        part = between[(between.target if other == "source" else between.source) == measures.head]
        if len(part):
            drawn = image(head_paths.draw(part, other), f"what cutting each path {words} costs, with 95% intervals")
            parts.append(f"<div><h3>Paths {words}</h3>{drawn}</div>")
    direct, note = frame[frame.via == ""].iloc[0], measures.snapshot.cells.run.path_note
    explained = (
        f"<p>Its own path to the output: <b>{written(direct, 'effect')}</b> nats per token "
        f"of held-out text ({measures.path_tokens} tokens).</p><p class=quiet>One path at a time is cut (mean ablation "
        "of what it carries, layer norm recomputed). Bars: 95% confidence intervals, clustered by document above, by "
        "sequence below. Positive: the path helps."
        f"{f' {html.escape(note)}.' if note else ''} {caution(frame, 'effect', 'copy_gain')}</p>"
    )
    return f"<div class=side>{''.join(parts)}<div class=wide>{explained}</div></div>{_numbers(frame)}"


def _numbers(frame: pd.DataFrame) -> str:
    """Every path in a table that is folded away, the largest effect first."""
    ranked = frame.reindex(frame.effect.abs().sort_values(ascending=False).index).to_dict("records")
    rows = [[_path(row), written(row, "effect", 4), written(row, "copy_gain")] for row in ranked]
    columns = ("path", "loss rise, nats per token", "copy gain removed, nats per token")
    return f"<details><summary>All {len(rows)} paths in numbers</summary>{table(columns, rows)}</details>"


def _path(row: dict) -> str:
    return f"{row['source']} to {row['target']}" + (f", {VIA_NAMES[row['via']]}" if row["via"] else "")
