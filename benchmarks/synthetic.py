"""Does each tool find what is planted? The synthetic language, whose truth is known, and models trained on it.

    python benchmarks/synthetic.py

trains the preset with two layers and with one (into runs/, some minutes each on an idle core; resumes what is there),
holds each tool's answer against the truth, and writes benchmarks/results/synthetic.json after every part, so that it
can be stopped and run again. Each row has a control: the same statistic with the truth shuffled, which must miss the
target.
"""

import os
import platform
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy import stats

from ablations import changed_losses, effects, forward, substitutes
from ablations.changes import parse_change
from circuits import mining, multigrams, token_kinds
from circuits.classify import PREFIX_MATCHING
from circuits.multigrams import Patterns
from experiments import runs
from experiments.corpora import bracket_rows, synthetic_language, synthetic_truth
from experiments.corpora.corpus import Corpus
from experiments.corpora.synthetic_text import KINDS, Written
from experiments.heldout import ablation_pass, head_types, labelled_tokens, text_multigrams
from experiments.heldout.text_multigrams import TEXT_MULTIGRAMS
from experiments.measurements.scores import SCORES
from experiments.results.cells import Cells
from experiments.results.plan import default_plan
from experiments.runs import presets, train
from experiments.storage.files import write_json

OUT = Path(__file__).parent / "results" / "synthetic.json"
RUNS, RESULTS = Path("runs"), Path("results")
TOKENS = 150_000  # of held-out text that heads are removed on
CHECKED = slice(0, 600)  # rows of the training text, on which removing heads is measured again by the truth's labels


def row(case: str, value: object, control: object, target: str, met: bool) -> dict:
    print(f"{'met    ' if met else 'NOT MET'} {case}: {value} (control {control}; target {target})", flush=True)
    return {"case": case, "value": value, "control": control, "target": target, "met": bool(met)}


def is_of(labels: Written, *kinds: str) -> Bool[np.ndarray, "row pos"]:
    return np.isin(labels.kind, [KINDS.index(kind) for kind in kinds])


def groups(planted: synthetic_language.Truth, labels: Written) -> dict[str, Bool[np.ndarray, "row pos"]]:
    """Tokens by what was due there: a target of each kind of pattern, a copied word, a new one, or anything."""
    kinds, due = np.array([pattern.kind for pattern in planted.patterns] + [""]), is_of(labels, "target", "miss")
    found = {kind: due & (kinds[labels.pattern] == kind) for kind in synthetic_language.CONTEXTS}
    return found | {kind: is_of(labels, kind) for kind in ("copy", "new")} | {"all": labels.kind >= 0}


def losses(run: runs.Run, step: int, rows: Corpus) -> Float[np.ndarray, "row pos"]:
    """Of every token, in nats; NaN for the first."""
    found = [effects.token_losses(run.model(step), part) for part in rows.batch(slice(None)).split(32)]
    return np.pad(torch.cat(found).double().numpy(), ((0, 0), (1, 0)), constant_values=np.nan)


def excess(loss: np.ndarray, labels: Written, at: np.ndarray) -> effects.Estimate:
    """Of the loss over the language's own, in nats per token of these; errors by row."""
    document = np.broadcast_to(np.arange(len(loss))[:, None], loss.shape)[at]
    return effects.clustered((loss + labels.log_probability)[at], document)


def floors(found: Cells, one_layer: runs.Run) -> Iterator[dict]:
    """No model can be better than the language is; a trained one is not much worse where it has learned."""
    rows = found.inputs.free_text.part(slice(0, 400))
    labels = synthetic_truth.labels(rows)
    at, last = groups(synthetic_language.truth(synthetic_language.parse(rows.name)), labels), found.run.steps[-1]
    trained, shallow, untrained = (
        losses(run, step, rows) for run, step in ((found.run, last), (one_layer, last), (found.run, 0))
    )
    for name, mask in at.items():  # of new words and of all the excess is said; they have no bar
        two, one, none = (excess(loss, labels, mask) for loss in (trained, shallow, untrained))
        value = f"{two.value:.3f} ± {two.se:.3f}, one layer {one.value:.3f}"
        near = two.value < 0.1 * none.value or name in ("new", "all")
        target = "not below 0 by four errors, and a tenth of the untrained model's"
        yield row(
            f"loss over the entropy: {name}", value, f"{none.value:.3f}", target, two.value > -4 * two.se and near
        )


def share_found(planted: Patterns, among: Patterns) -> float:
    """Of the planted patterns."""
    return float((index_in(planted, among) >= 0).mean())


def index_in(planted: Patterns, among: Patterns) -> np.ndarray:
    """Where each planted pattern stands among others; -1 where it does not."""
    keys = [
        list(map(bytes, np.concatenate([table.offsets, table.tokens, table.targets[:, None]], 1).astype(np.int64)))
        for table in (planted, among)
    ]
    place = {key: number for number, key in enumerate(keys[1])}
    return np.array([place.get(key, -1) for key in keys[0]])


def other_targets(planted: Patterns) -> Patterns:
    return planted._replace(targets=np.random.default_rng(0).permutation(planted.targets))


def mined(found: Cells, planted: synthetic_language.Truth) -> Iterator[dict]:
    """Patterns of the text: all planted ones, and, of those mined, how many hold in text that was not mined."""
    table = found.get(TEXT_MULTIGRAMS)
    every = text_multigrams.as_patterns(table)
    for kind in synthetic_language.CONTEXTS:
        wanted = synthetic_language.as_patterns(p for p in planted.patterns if p.kind == kind)
        value, control = share_found(wanted, every), share_found(other_targets(wanted), every)
        yield row(f"mining: recall of {kind}s", value, control, "1; control below 0.2", value == 1 and control < 0.2)
    held_out = labelled_tokens.text(found.inputs.train.part(slice(20_000, 27_000)))
    shares = []
    for chosen in (every, other_targets(every)):
        rates = mining.rate(held_out, chosen, len(table.token))
        shares.append(float((rates.hits > rates.best * rates.seen).mean()))
    target = "0.9 above their best sub-pattern's rate; control below 0.6"
    value = f"{shares[0]:.3f} of {len(every.targets)}"
    yield row("mining: patterns that hold in fresh text", value, shares[1], target, shares[0] > 0.9 and shares[1] < 0.6)


def structures(rows: Corpus) -> Iterator[dict]:
    """What needs no model: repeats and closers."""
    labels, generator = synthetic_truth.labels(rows), np.random.default_rng(0)
    repeated, copied = token_kinds.repeats(rows.batch(slice(None)).numpy()), is_of(labels, "copy")
    recall, shuffled = repeated[copied].mean(), repeated[generator.permuted(copied, axis=1)].mean()
    value = f"{recall:.3f}, precision {copied[repeated].mean():.3f}"
    yield row("repeats: recall of copied words", value, round(float(shuffled), 3), "1", recall == 1 and shuffled < 0.5)
    closes, written = bracket_rows.of_rows(rows).kind >= 0, is_of(labels, "closer")
    agreed, chance = (closes == written).mean(), (closes == generator.permuted(written, axis=1)).mean()
    yield row("closers: agreement", float(agreed), float(chance), "1", agreed == 1 and chance < 1)


def truth_effects(found: Cells) -> tuple[Corpus, Written, np.ndarray]:
    """Effect [head, row, pos] of removing each head, on rows of the training text, with their labels."""
    run, rows = found.run, found.inputs.train.part(CHECKED)
    model, names = run.model(run.steps[-1]), head_types.pass_of_types(found, run.steps[-1], TOKENS).what
    weights, changes = forward.weights_of(model), [parse_change(name) for name in names]
    means = substitutes.means(weights, model.cfg, found.inputs.reference)
    blocks = changed_losses.blocks(weights, model.cfg, rows.batch(slice(None)), changes, means)
    effect = torch.cat([block.effect for block in blocks], 1).double().numpy()
    return rows, synthetic_truth.labels(rows), np.pad(effect, ((0, 0), (0, 0), (1, 0)))


def induction(found: Cells, labels: Written, effect: np.ndarray) -> Iterator[dict]:
    """The heads that attend as induction heads are those that copied words need."""
    scores = found.get(SCORES, found.run.steps[-1])
    later = np.flatnonzero(scores.layer.values > 0)
    matching, before = scores.prefix_matching.values[later], scores.previous_token.values[later]
    names, needed = scores.restriction.values[later], effect[later][:, is_of(labels, "copy")].mean(1)
    best, typed = matching.max(), int((matching >= PREFIX_MATCHING).sum())
    yield row("induction: highest prefix matching", round(float(best), 3), None, "0.25", best >= PREFIX_MATCHING)
    most, same, other = (set(np.argsort(-by)[:typed].tolist()) for by in (needed, matching, before))
    value = f"{len(most & same)} of {typed}: " + ", ".join(
        f"{names[head]} {matching[head]:.2f} {needed[head]:.2f} nats" for head in np.argsort(-matching)[: typed + 2]
    )
    control = f"{len(most & other)} with the highest previous-token scores"
    met = typed > 0 and most == same and most != other
    yield row("induction: heads of this type, and those that copies need most", value, control, "all", met)
    ranks, chance = (round(float(stats.spearmanr(needed, by)[0]), 2) for by in (matching, before))
    yield row("induction: rank correlation of both", ranks, chance, "0.7", ranks > 0.7 > chance)


def known(found: Cells, planted: synthetic_language.Truth) -> Iterator[dict]:
    """Planted patterns among the multigrams of the model: of those with enough completions in the text.

    `synthetic_skips` has the controls of skip n-grams, and why they must be looked for where they stand.
    """
    asked = head_types.pass_of_types(found, found.run.steps[-1], TOKENS)
    table, wanted = head_types.table(found, asked), synthetic_language.as_patterns(planted.patterns)
    has = Patterns(*(table[name].values for name in ("offsets", "tokens", "target")))
    text = labelled_tokens.text(ablation_pass.rows_of(asked, found.inputs))
    numbers, places = mining.completions(text, wanted, found.run.config["model"]["d_vocab"])
    kept, scored = ablation_pass.kept(found, asked), np.zeros(text.tokens.shape, dtype=bool)
    scored[kept.row.values, kept.pos.values] = True
    often = np.bincount(numbers[scored.ravel()[places]], minlength=len(wanted.targets)) >= multigrams.FEWEST
    kinds = np.array([pattern.kind for pattern in planted.patterns])
    for kind in synthetic_language.CONTEXTS:
        some = wanted.take(np.flatnonzero(often & (kinds == kind)))
        value, control = (share_found(these, has) for these in (some, other_targets(some)))
        case = f"known multigrams: recall of {len(some.targets)} {kind}s with {multigrams.FEWEST} completions"
        yield row(case, round(value, 3), round(control, 3), "0.9; control below 0.2", value > 0.9 and control < 0.2)


def learned(found: Cells, planted: synthetic_language.Truth, labels: Written, effect: np.ndarray) -> Iterator[dict]:
    """Which head learned which planted pattern, by `head_types` on held-out text and by the truth on other text.

    Effects of head and pattern beyond what the head has on all patterns and all heads on the pattern.
    """
    table = head_types.table(found, head_types.pass_of_types(found, found.run.steps[-1], TOKENS))
    has = Patterns(*(table[name].values for name in ("offsets", "tokens", "target")))
    at, hit = index_in(synthetic_language.as_patterns(planted.patterns), has), is_of(labels, "target")
    q = table.multigram_q.values
    both = [n for n, place in enumerate(at) if place >= 0 and np.isfinite(q[:, place]).all()]
    truth = np.stack([effect[:, hit & (labels.pattern == number)].mean(1) for number in both], axis=1)
    tool = table.multigram_effect.values[:, at[both]]
    shuffled = truth[:, np.random.default_rng(0).permutation(len(both))]
    value, control = (stats.spearmanr(beyond(tool).ravel(), beyond(o).ravel())[0] for o in (truth, shuffled))
    case = f"which head learned which of {len(both)} planted patterns: rank correlation"
    yield row(case, round(value, 3), round(control, 3), "0.9; control below 0.2", value > 0.9 and control < 0.2)
    value, control = (float((tool.argmax(0) == other.argmax(0)).mean()) for other in (truth, shuffled))
    case = "which head learned which: the most important one agrees"
    yield row(case, round(value, 3), round(control, 3), "0.8", value > 0.8 > control)


def beyond(effect: np.ndarray) -> np.ndarray:
    """[head, pattern] without the means of either."""
    return effect - effect.mean(0) - effect.mean(1, keepdims=True) + effect.mean()


def reached(steps: list[int], values: np.ndarray, start: float, end: float) -> float:
    """The first step at which half of the way is made, interpolated in log(1 + step); NaN where it never is."""
    share = np.maximum.accumulate((np.asarray(values) - start) / (end - start))
    return round(float(np.expm1(np.interp(0.5, share, np.log1p(steps))))) if share[-1] >= 0.5 else float("nan")


def onsets(found: Cells) -> Iterator[dict]:
    """When what is learned: the loss on each kind of token is half-way from the unigram's to the language's entropy,
    and the best score of a head half-way to its last.
    """
    rows, steps = found.inputs.free_text.part(slice(0, 200)), found.run.steps
    labels, unigram = synthetic_truth.labels(rows), -found.get(TEXT_MULTIGRAMS).log_unigram.values
    at = groups(synthetic_language.truth(synthetic_language.parse(rows.name)), labels)
    loss = np.stack([losses(found.run, step, rows) for step in steps])
    when = {
        name: reached(steps, loss[:, mask].mean(1), unigram[labels.tokens[mask]].mean(), floor(labels, mask))
        for name, mask in at.items()
        if name not in ("new", "all")
    }
    scores = found.table(SCORES)
    heads = {"previous token": (scores.previous_token, 0), "prefix matching": (scores.prefix_matching, 1)}
    for name, (values, layer) in heads.items():
        best = values.isel(restriction=np.flatnonzero(scores.layer.values == layer)).max("restriction").values
        when[name] = reached(steps, best, best[0], best.max())
    order = when["bigram"] < when["trigram"] < when["copy"]
    steps_of = list(when.values())[::-1]
    turned = dict(zip(when, steps_of, strict=True))
    control = turned["bigram"] < turned["trigram"] < turned["copy"]
    case, target = "onsets: steps at which half is learned", "bigrams before trigrams before copies"
    yield row(case, when, f"in reverse: {control}", target, order and not control)


def floor(labels: Written, at: np.ndarray) -> float:
    """The language's own loss on these tokens, in nats."""
    return float(-labels.log_probability[at].mean())


def parts(found: Cells, one_layer: runs.Run) -> Iterator[dict]:
    planted = synthetic_language.truth(synthetic_language.parse(found.plan.corpus))
    yield from structures(found.inputs.free_text.part(slice(0, 400)))
    yield from mined(found, planted)
    yield from floors(found, one_layer)
    yield from onsets(found)
    _, labels, effect = truth_effects(found)
    yield from induction(found, labels, effect)
    yield from known(found, planted)
    yield from learned(found, planted, labels, effect)


def trained(n_layers: int) -> runs.Run:
    preset = presets.get("synthetic")
    return train.train(preset, 0, n_layers, RUNS / train.run_name(preset, 0, n_layers))


def write(name: str, rows: list[dict]) -> None:
    machine = f"{os.cpu_count()} cores, {platform.machine()}, torch {torch.__version__.partition('+')[0]}, one thread"
    record = {"name": name, "command": f"python benchmarks/{name}.py", "machine": machine, "rows": rows}
    write_json(OUT.with_stem(name), record)


def main() -> None:
    torch.set_num_threads(1)
    run, one_layer = trained(2), trained(1)
    found = Cells(RESULTS / run.name, run, default_plan(run.config["preset"]["corpus"], run.config["model"]["n_ctx"]))
    rows: list[dict] = []
    for part in parts(found, one_layer):
        rows.append(part)
        write("synthetic", rows)


if __name__ == "__main__":
    main()
