"""Are the skip n-grams found that a model knows, and no others? The synthetic language, where they are planted.

    python benchmarks/synthetic_skips.py

trains the `synthetic` preset on its language and on that language without skip n-grams (into runs/, some minutes each
on an idle core; resumes what is there) and writes benchmarks/results/synthetic_skips.json. Asked about are all skip
n-grams that the language's text has, with 20 completions in held-out text; found are those that `natural_gain.known`
says the model knows. Controls are contexts with another's target, in a text in which that comes, contexts with a token
that stands there by chance, the model before training, and the model of the language without skips on the same text: a
twentieth of each may pass.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import synthetic
import torch

from ablations import forward
from circuits import context_gain, mining, multigrams, natural_gain, natural_places
from circuits.multigrams import RATE, Patterns, Text
from circuits.natural_gain import Known
from circuits.natural_places import Places
from experiments import runs
from experiments.corpora import synthetic_language, synthetic_truth
from experiments.corpora.corpus import Corpus
from experiments.heldout import labelled_tokens, model_multigrams, text_multigrams
from experiments.heldout.text_multigrams import TEXT_MULTIGRAMS
from experiments.results.cells import Cells
from experiments.results.plan import default_plan
from experiments.runs import presets, train

KINDS = ("skip_bigram", "skip_trigram")
WITHOUT = "synthetic:skip_bigrams=0,skip_trigrams=0"
BAR = 0.8  # of the planted ones, to be found
COMMONEST = 5  # plain words that are added to contexts
PERMUTATIONS = 3
FRESH = slice(20_000, 25_000)  # rows of the training text that are not mined


class Asked(NamedTuple):
    """Skip n-grams of the text that have 20 completions in it, and the text."""

    text: Text
    patterns: Patterns
    log_unigram: np.ndarray  # [vocab]
    completions: Places


def asked(found: Cells) -> Asked:
    table = found.get(TEXT_MULTIGRAMS)
    every = text_multigrams.as_patterns(table)
    skips = every.take(~every.contiguous)
    text = labelled_tokens.text(found.inputs.free_rows(synthetic.TOKENS))
    return with_completions(text, skips, table.log_unigram.values)


def with_completions(text: Text, skips: Patterns, log_unigram: np.ndarray) -> Asked:
    numbers, flat = mining.completions(text, skips, len(log_unigram))
    often = np.bincount(numbers, minlength=len(skips.targets)) >= multigrams.FEWEST
    order = np.flatnonzero(often[numbers])
    order = order[np.argsort(numbers[order], kind="stable")]
    at = Places((np.cumsum(often) - 1)[numbers[order]], flat[order])
    return Asked(text, skips.take(often), log_unigram, at)


def known(run: runs.Run, step: int, what: Asked) -> tuple[np.ndarray, Known]:
    """The gain where the target comes [pattern], and what the rule says."""
    model = run.model(step)
    weights, at = forward.weights_of(model), what.completions
    log_q = natural_gain.log_probabilities(weights, model.cfg, what.text, what.patterns.targets[:, None], at)[:, 0]
    whole = np.bincount(at.numbers, log_q) / np.bincount(at.numbers) - what.log_unigram[what.patterns.targets]
    return whole, natural_gain.known(weights, model.cfg, what.text, what.patterns, whole, what.log_unigram)


def recall(found: Cells, planted: synthetic_language.Truth, what: Asked) -> Iterator[dict]:
    """How many are found of each kind, and by which way to fill the free places."""
    whole, by_rule = known(found.run, found.run.steps[-1], what)
    for kind in KINDS:
        own = synthetic.index_in(as_patterns(planted, kind), what.patterns)
        own = own[own >= 0]
        few = what.patterns.take(own)
        places = natural_places.places(what.text, few, found.inputs.d_vocab)
        shares = {
            "all else from other documents": among_others(found, few, None, what),
            "the gap from the text, all else from other documents": among_others(found, few, places, what),
            "in place": by_rule.alone[own] + what.log_unigram[few.targets],
        }
        for name, log_q in shares.items():
            kept = (log_q - what.log_unigram[few.targets]) / whole[own]
            value = f"{np.median(kept):.2f} of the gain, {int((kept >= multigrams.KEPT).sum())} keep {multigrams.KEPT}"
            yield synthetic.row(
                f"{len(own)} planted {kind}s, {name}", value, None, "no bar: why the rule is as it is", True
            )
        share = float(by_rule.known[own].mean())
        value = f"{int(by_rule.known[own].sum())} of {len(own)}"
        yield synthetic.row(f"known {kind}s", value, None, f"{BAR} of them", share >= BAR)
    yield others(found, planted, what, by_rule.known)


def among_others(found: Cells, patterns: Patterns, at: Places | None, what: Asked) -> np.ndarray:
    """Mean log q(target) [pattern] among tokens of other documents; the gap from these places, where told."""
    model, width = found.inputs.model(found.run.steps[-1]), model_multigrams.WINDOW
    weights, log_q = forward.weights_of(model), np.empty(len(patterns.targets))
    for number in range(len(log_q)):
        donors = found.inputs.reference[: multigrams.FEWEST, :width].clone()
        if at is not None:
            own = at.flat[at.numbers == number][: len(donors)]
            for back in range(1, patterns.offsets[number].max()):
                donors[: len(own), -back] = torch.from_numpy(what.text.tokens.ravel()[own - back].astype(np.int64))
        one = patterns.take(np.array([number]))
        log_q[number] = context_gain.log_probabilities(weights, model.cfg, donors, one).item()
    return log_q


def others(found: Cells, planted: synthetic_language.Truth, what: Asked, known: np.ndarray) -> dict:
    """What else is known: words of planted contexts, and whether the rest holds in other text."""
    listed = np.concatenate([synthetic.index_in(as_patterns(planted, kind), what.patterns) for kind in KINDS])
    implied = synthetic.index_in(within_contexts(planted), what.patterns)
    left = known.copy()
    left[listed[listed >= 0]] = False
    count = int(left.sum())
    left[implied[implied >= 0]] = False
    text = labelled_tokens.text(found.inputs.train.part(FRESH))
    rates = mining.rate(text, what.patterns.take(left), found.inputs.d_vocab)
    false = int((rates.hits <= rates.best * rates.seen).sum())
    value = (
        f"{false} of {int(known.sum())}: {count - int(left.sum())} more are within planted contexts, {int(left.sum())} "
    )
    value += f"are not, of which {int(left.sum()) - false} hold in other text"
    return synthetic.row("known, and not of the language", value, None, f"{RATE}", false <= RATE * known.sum())


def as_patterns(planted: synthetic_language.Truth, kind: str) -> Patterns:
    return synthetic_language.as_patterns(pattern for pattern in planted.patterns if pattern.kind == kind)


def within_contexts(planted: synthetic_language.Truth) -> Patterns:
    """a _ -> b, where a _ b -> c is planted: in the language one of four words follows."""
    trigrams = as_patterns(planted, "skip_trigram")
    offsets, tokens = np.zeros_like(trigrams.offsets), np.zeros_like(trigrams.tokens)
    offsets[:, 0], tokens[:, 0] = trigrams.offsets[:, 1] - trigrams.offsets[:, 0], trigrams.tokens[:, 1]
    return Patterns(offsets, tokens, trigrams.tokens[:, 0])


def controls(found: Cells, without: runs.Run, planted: synthetic_language.Truth, what: Asked) -> Iterator[dict]:
    """What is not in the language or not in the model."""
    run = found.run
    last, rows = run.steps[-1], found.inputs.train.part(FRESH)
    swapped = [with_wrong_targets(rows, planted, what, seed) for seed in range(PERMUTATIONS)]
    passed = np.concatenate([known(run, last, wrong)[1].known for wrong in swapped])
    yield control(f"another's target, put into the text, {PERMUTATIONS} permutations", passed)
    text, chance = labelled_tokens.text(rows), with_a_needless_token(planted)
    places = natural_places.places(text, chance, found.inputs.d_vocab)
    chance = chance.take(np.bincount(places.numbers, minlength=len(chance.targets)) >= multigrams.FEWEST)
    model = run.model(last)
    given = natural_gain.known(forward.weights_of(model), model.cfg, text, chance, None, what.log_unigram)
    yield control("a token by chance", given.known)
    yield control("the model before training", known(run, 0, what)[1].known)
    yield control("a model of the language without skips", known(without, without.steps[-1], what)[1].known)


def with_wrong_targets(rows: Corpus, planted: synthetic_language.Truth, what: Asked, seed: int) -> Asked:
    """The text with every target of a skip n-gram replaced by that of another, drawn for the seed; these patterns."""
    text, labels = labelled_tokens.text(rows), synthetic_truth.labels(rows)
    right = synthetic_language.as_patterns(planted.patterns).targets
    wrong, gapped = right.copy(), np.flatnonzero([pattern.kind in KINDS for pattern in planted.patterns])
    wrong[gapped] = np.random.default_rng(seed).permutation(right[gapped])
    due = synthetic.is_of(labels, "target")
    tokens = np.where(due, wrong[labels.pattern], text.tokens)
    skips = synthetic_language.as_patterns(planted.patterns)._replace(targets=wrong).take(wrong != right)
    return with_completions(text._replace(tokens=tokens), skips, what.log_unigram)


def control(name: str, passed: np.ndarray) -> dict:
    value = f"{int(passed.sum())} of {len(passed)}"
    return synthetic.row(f"control: {name}", None, value, f"{RATE} of them", len(passed) > 0 and passed.mean() <= RATE)


def with_a_needless_token(planted: synthetic_language.Truth) -> Patterns:
    """Planted bigrams and skip bigrams with a common word further back, of which their targets do not depend."""
    found = [as_patterns(planted, kind) for kind in ("bigram", "skip_bigram")]
    added = []
    for patterns in found:
        for further, word in ((k, w) for k in (1, 2, 4) for w in planted.plain[:COMMONEST]):
            offsets, tokens = patterns.offsets.copy(), patterns.tokens.copy()
            offsets[:, 1], tokens[:, 1] = offsets[:, 0] + further, word
            added.append(Patterns(offsets, tokens, patterns.targets))
    every = joined(added)
    return every.take(~every.contiguous)


def joined(parts: list[Patterns]) -> Patterns:
    offsets, tokens, targets = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return Patterns(offsets, tokens, targets)


def trained_without() -> runs.Run:
    preset = replace(presets.get("synthetic"), corpus=WITHOUT)
    return train.train(preset, 0, 2, synthetic.RUNS / "synthetic-no-skips-seed0")


def main() -> None:
    torch.set_num_threads(1)
    run, without = synthetic.trained(2), trained_without()
    plan = default_plan(run.config["preset"]["corpus"], run.config["model"]["n_ctx"])
    found = Cells(Path(synthetic.RESULTS) / run.name, run, plan)
    planted, what = synthetic_language.truth(synthetic_language.parse(plan.corpus)), asked(found)
    rows = [*recall(found, planted, what), *controls(found, without, planted, what)]
    synthetic.write("synthetic_skips", rows)


if __name__ == "__main__":
    main()
