"""The n-grams and skip n-grams of a run's training text, tested on its held-out text."""

import numpy as np
import xarray as xr
from jaxtyping import Float
from scipy import stats

from circuits import mining
from circuits.multigrams import RATE, Patterns
from experiments import corpora
from experiments.corpora.corpus import Corpus
from experiments.heldout.labelled_tokens import text
from experiments.results.cells import Cells
from experiments.results.inputs import Inputs
from experiments.results.kind import Kind

MINED_TOKENS = 2_000_000  # of the train split
FEWEST = 2e-5  # hits that a pattern needs, as a share of these tokens
MOST = 3000  # patterns of each kind and length
TESTED_TOKENS = 500_000  # of the held-out text


def measure(inputs: Inputs, step: None, cells: Cells) -> xr.Dataset:
    """offsets, tokens [pattern, longest], target, rate and best sub-pattern's rate in the training text, p on held-out
    documents [pattern] of the patterns that pass a false-discovery rate of 5%; log_unigram [token].
    """
    read = inputs.train.part(slice(0, MINED_TOKENS // inputs.n_ctx))
    train = text(read)
    fewest = max(2, round(FEWEST * train.tokens.size))
    candidates, rates = mining.mine(train, inputs.d_vocab, fewest, MOST)
    held_out = text(inputs.free_text.part(slice(0, TESTED_TOKENS // inputs.n_ctx)))
    p = mining.tested(held_out, candidates, rates.best, inputs.d_vocab)
    passed = np.flatnonzero(stats.false_discovery_control(p) <= RATE)
    kept = candidates.take(passed)
    data: dict = {"offsets": (("pattern", "longest"), kept.offsets), "tokens": (("pattern", "longest"), kept.tokens)}
    data |= {"target": ("pattern", kept.targets), "p": ("pattern", p[passed])}
    data["rate"] = ("pattern", (rates.hits / np.maximum(rates.seen, 1))[passed])
    data["best"] = ("pattern", rates.best[passed])
    data["log_unigram"] = ("token", _log_unigram(read, inputs.d_vocab))
    return xr.Dataset(data, attrs={"candidates": len(p)})


def as_patterns(table: xr.Dataset) -> Patterns:
    """The patterns of a table that has offsets, tokens and target."""
    return Patterns(*(table[name].values for name in ("offsets", "tokens", "target")))


def describe(patterns: Patterns, number: int, inputs: Inputs) -> str:
    """One pattern in words ("' if' (2 more) ' is' -> ' None'"): its context in the order of the text, and how many
    tokens are left out.
    """
    decode = inputs.run.tokenizer.decode
    words, last = [], 0
    pairs = sorted(zip(patterns.offsets[number].tolist(), patterns.tokens[number].tolist(), strict=True), reverse=True)
    for offset, token in ((offset, token) for offset, token in pairs if offset):
        if last and last - offset > 1:
            words.append(f"({last - offset - 1} more)")
        words.append(repr(decode([token], skip_special_tokens=False)))
        last = offset
    if last > 1:
        words.append(f"({last - 1} more)")
    return f"{' '.join(words)} -> {decode([int(patterns.targets[number])], skip_special_tokens=False)!r}"


def sizes(inputs: Inputs, step: int | None) -> dict:
    """How much text is mined and tested, and what a pattern needs."""
    return {"sizes": [MINED_TOKENS, FEWEST, MOST, TESTED_TOKENS]}


def _log_unigram(rows: Corpus, vocabulary: int) -> Float[np.ndarray, " token"]:
    """Log-frequencies of the tokens of the text but BOS, each counted once more than it is there."""
    tokens = np.asarray(rows.tokens)
    counts = np.bincount(tokens[tokens != corpora.bos(rows.tokenizer)], minlength=vocabulary) + 1.0
    return np.log(counts / counts.sum())


TEXT_MULTIGRAMS = Kind(
    "text_multigrams",
    (2,),
    measure,
    splits=("train", "test"),
    steps=None,
    plan_fields=("text_rows", "reference_rows"),
    seconds=30.0,
    also=sizes,
)
