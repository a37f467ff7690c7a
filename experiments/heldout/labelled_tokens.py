"""What kind of token each token of a run's held-out text is, and the patterns of its training text."""

from pathlib import Path

import numpy as np
import xarray as xr
from jaxtyping import Float
from scipy import stats

from circuits import brackets, mining, token_kinds
from circuits.multigrams import RATE, Patterns, Text
from experiments import corpora, runs
from experiments.corpora import bracket_rows
from experiments.corpora.corpus import Corpus
from experiments.heldout import ablation_pass
from experiments.measurements.inputs import Bench
from experiments.measurements.plan import Plan
from experiments.results.cells import Cells
from experiments.storage import store

MINED_TOKENS = 2_000_000  # of the train split
FEWEST = 2e-5  # hits that a pattern needs, as a share of these tokens
MOST = 3000  # patterns of each kind and length
TESTED_TOKENS = 500_000  # of the held-out text
VERSION = 2  # raised by hand when what is kept, or how it is computed, changes


def text(rows: Corpus) -> Text:
    """The rows as text in which tokens that repeat, and tokens that begin with a closer, are no targets."""
    tokens, decode = rows.batch(slice(None)).numpy(), rows.tokenizer.decode
    vocabulary = range(rows.tokenizer.get_vocab_size())
    closers = [token for token in vocabulary if decode([token]).lstrip()[:1] in brackets.KINDS]
    taken_out = token_kinds.repeats(tokens) | np.isin(tokens, [*closers, corpora.bos(rows.tokenizer)])
    return Text(tokens, np.asarray(rows.documents), np.asarray(rows.positions), ~taken_out)


def kinds(found: Cells, rows: int) -> xr.Dataset:
    """Of the first rows of the surveyed text: induction, bracket, quote [row, pos]; the last two where it is Python."""
    key = _key(found.on, "token_kinds") | {"rows": rows}
    return store.cached(found.folder, key, lambda: _kinds(ablation_pass.text(found.on).part(slice(0, rows))))


def mined(found: Cells) -> xr.Dataset:
    """Patterns of the run's text: offsets, tokens [pattern, longest], target, rate and best sub-pattern's rate in the
    training text, p on held-out documents [pattern], those that pass a false-discovery rate of 5%; log_unigram [token].
    """
    return store.cached(found.folder, mined_key(found.on), lambda: _mine(found.on))


def mined_key(on: Bench) -> dict:
    sizes = [MINED_TOKENS, FEWEST, MOST, TESTED_TOKENS]
    return _key(on, "multigrams") | {"train": on.train.fingerprint, "sizes": sizes}


def work_kinds(results: Path, folder: Path, plan: Plan, rows: int) -> None:
    """In a worker process."""
    kinds(Cells(results, runs.open_run(folder), plan), rows)


def work_mined(results: Path, folder: Path, plan: Plan) -> None:
    """In a worker process."""
    mined(Cells(results, runs.open_run(folder), plan))


def as_patterns(table: xr.Dataset) -> Patterns:
    return Patterns(*(table[name].values for name in ("offsets", "tokens", "target")))


def describe(table: Patterns, number: int, on: Bench) -> str:
    """ "' if' (2 more) ' is' -> ' None'": the context in the order of the text, and how many tokens are left out."""
    decode = on.run.tokenizer.decode
    said, last = [], 0
    pairs = sorted(zip(table.offsets[number].tolist(), table.tokens[number].tolist(), strict=True), reverse=True)
    for offset, token in ((offset, token) for offset, token in pairs if offset):
        if last and last - offset > 1:
            said.append(f"({last - offset - 1} more)")
        said.append(repr(decode([token], skip_special_tokens=False)))
        last = offset
    if last > 1:
        said.append(f"({last - 1} more)")
    return f"{' '.join(said)} -> {decode([int(table.targets[number])], skip_special_tokens=False)!r}"


def _key(on: Bench, kind: str) -> dict:
    return {
        "kind": kind,
        "run": on.run.name,
        "data": on.corpus.fingerprint,
        "first_row": ablation_pass.first_row(on),
        "version": VERSION,
    }


def _kinds(rows: Corpus) -> xr.Dataset:
    closes = bracket_rows.of_rows(rows).kind
    quote = closes >= len(brackets.BRACKETS)
    found = {
        "induction": token_kinds.repeats(rows.batch(slice(None)).numpy()),
        "bracket": (closes >= 0) & ~quote,
        "quote": quote,
    }
    return xr.Dataset({name: (("row", "pos"), values) for name, values in found.items()})


def _mine(on: Bench) -> xr.Dataset:
    n_ctx, vocabulary = (on.run.config["model"][name] for name in ("n_ctx", "d_vocab"))
    read = on.train.part(slice(0, MINED_TOKENS // n_ctx))
    train = text(read)
    found, rates = mining.mine(train, vocabulary, max(2, round(FEWEST * train.tokens.size)), MOST)
    held_out = text(ablation_pass.text(on).part(slice(0, TESTED_TOKENS // n_ctx)))
    p = mining.tested(held_out, found, rates.best, vocabulary)
    passed = np.flatnonzero(stats.false_discovery_control(p) <= RATE)
    kept = found.take(passed)
    data: dict = {"offsets": (("pattern", "longest"), kept.offsets), "tokens": (("pattern", "longest"), kept.tokens)}
    data |= {"target": ("pattern", kept.targets), "p": ("pattern", p[passed])}
    data["rate"] = ("pattern", (rates.hits / np.maximum(rates.seen, 1))[passed])
    data["best"] = ("pattern", rates.best[passed])
    data["log_unigram"] = ("token", _log_unigram(read, vocabulary))
    return xr.Dataset(data, attrs={"candidates": len(p)})


def _log_unigram(rows: Corpus, vocabulary: int) -> Float[np.ndarray, " token"]:
    """Of the tokens of the text but BOS, each counted once more than it is there."""
    tokens = np.asarray(rows.tokens)
    counts = np.bincount(tokens[tokens != corpora.bos(rows.tokenizer)], minlength=vocabulary) + 1.0
    return np.log(counts / counts.sum())
