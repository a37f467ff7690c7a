"""Prompts of the task "brackets": windows of held-out Python that end right before a bracket's closer.

In half of them the bracket is nested in one of another type, whose closer is the wrong answer. Within each half, of
every two types as many prompts have one right and the other wrong as the other way round, so that a model that merely
prefers some closer, or closes the outer bracket, gains nothing.
"""

from itertools import combinations, permutations
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int
from tokenizers import Tokenizer

from ablations.not_measurable import NotMeasurable
from circuits import tasks
from circuits.brackets import BRACKETS, OPENERS
from circuits.tasks import Task
from experiments import corpora
from experiments.corpora import bracket_rows
from experiments.corpora.bracket_rows import RowStructure
from experiments.corpora.corpus import Corpus
from experiments.results.inputs import Inputs

ROWS = 2000  # of held-out text, in which prompts are looked for
LENGTH = 64  # of a prompt at most, with its BOS
FEWEST = 16


class Candidates(NamedTuple):
    """Closers that a prompt can end before."""

    row: Int[np.ndarray, " closer"]
    pos: Int[np.ndarray, " closer"]
    right: Int[np.ndarray, " closer"]  # index into BRACKETS
    wrong: Int[np.ndarray, " closer"]
    nested: Int[np.ndarray, " closer"]  # 0 or 1
    document: Int[np.ndarray, " closer"]


def task(inputs: Inputs, prompts: int) -> Task:
    """So many prompts at most. Raises NotMeasurable where the text gives fewer than `FEWEST`.

    Which: see `balanced`. The wrong closer of a bracket that is not nested is drawn from the other two types.
    """
    length = min(LENGTH, inputs.n_ctx)
    rows = inputs.free_text.part(slice(0, ROWS))
    structure, generator = bracket_rows.of_rows(rows), np.random.default_rng(inputs.plan.seed)
    ids = bracket_tokens(rows.tokenizer)
    candidates = _candidates(rows, structure, length, ids, generator)
    chosen = balanced(candidates, prompts, generator)
    if len(chosen) < FEWEST:
        raise NotMeasurable(
            f"corpus {rows.name!r} gives {len(chosen)} balanced bracket prompts in {len(rows)} rows, "
            f"{FEWEST} are needed: use more Python code"
        )
    row, pos, right, wrong, *_ = (values[chosen] for values in candidates)
    tokens = rows.batch(slice(None)).numpy()[row[:, None], pos[:, None] - length + 1 + np.arange(length - 1)]
    windows = np.concatenate([np.full((len(row), 1), corpora.bos(rows.tokenizer)), tokens], axis=1)
    openers = structure.opener[row, pos] - (pos - length)
    of_kind = np.array(ids)
    arrays = (windows, openers, of_kind[wrong, 0], of_kind[right, 1], of_kind[wrong, 1])
    return tasks.replaced("brackets", *(torch.from_numpy(array.astype(np.int64)) for array in arrays))


def bracket_tokens(tokenizer: Tokenizer) -> list[tuple[int, int]]:
    """Opener and closer of every bracket as tokens; raises NotMeasurable where one is no token of its own."""
    vocabulary = tokenizer.get_vocab()
    if missing := [mark for mark in (*OPENERS, *BRACKETS) if mark not in vocabulary]:
        raise NotMeasurable(f"{' '.join(missing)}: no token of its own; use a tokenizer in which every bracket is one")
    return [(vocabulary[opener], vocabulary[closer]) for opener, closer in OPENERS.items()]


def balanced(candidates: Candidates, count: int, generator: np.random.Generator) -> Int[np.ndarray, " prompt"]:
    """Indices of candidates: as many nested as not, and of every pair of types as many one way round as the other.

    Of a group (nested, right, wrong) every document gives one candidate before any gives a second; which, and from
    which documents, is random. Pairs of types have equal parts as far as the text gives; what one lacks, others have.
    """
    order = _spread(candidates, generator)
    nested, right, wrong = (getattr(candidates, name)[order] for name in ("nested", "right", "wrong"))
    groups = {
        (half, a, b): order[(nested == half) & (right == a) & (wrong == b)]
        for half in (0, 1)
        for a, b in permutations(range(len(BRACKETS)), 2)
    }
    pairs = list(combinations(range(len(BRACKETS)), 2))
    stock = [[min(len(groups[half, a, b]), len(groups[half, b, a])) for a, b in pairs] for half in (0, 1)]
    total = min(count // 4, *map(sum, stock))
    chosen = [order[:0]]
    for half in (0, 1):
        for (a, b), part in zip(pairs, _shares(stock[half], total), strict=True):
            chosen += [groups[half, a, b][:part], groups[half, b, a][:part]]
    return np.concatenate(chosen)


def _shares(stock: list[int], total: int) -> list[int]:
    """Parts of a total, one by one from the stocks that are not used up."""
    parts = [0] * len(stock)
    while sum(parts) < min(total, sum(stock)):
        open_ = [number for number, size in enumerate(stock) if parts[number] < size]
        parts[min(open_, key=parts.__getitem__)] += 1
    return parts


def _spread(candidates: Candidates, generator: np.random.Generator) -> Int[np.ndarray, " closer"]:
    """A random order in which the first of every document in each group come first, then the second, and so on."""
    shuffled = generator.permutation(len(candidates.row))
    seen: dict[tuple[int, ...], int] = {}
    turn = np.empty(len(shuffled), dtype=np.int64)
    keys = zip(*(values[shuffled].tolist() for values in candidates[2:]), strict=True)
    for place, key in enumerate(keys):
        turn[place] = seen[key] = seen.get(key, -1) + 1
    return shuffled[np.argsort(turn, kind="stable")]


def _candidates(
    rows: Corpus, structure: RowStructure, length: int, ids: list[tuple[int, int]], generator: np.random.Generator
) -> Candidates:
    """Closers whose window is of one document and holds the opener, and the one around it where nested.

    Opener and closer are tokens of their own.
    """
    row, pos = np.nonzero((structure.kind >= 0) & (structure.kind < len(BRACKETS)))
    row, pos = row[pos >= length], pos[pos >= length]
    start = pos - length + 1
    right, nested = structure.kind[row, pos], structure.nested[row, pos]
    opener, outer = structure.opener[row, pos], structure.outer[row, pos]
    tokens, of_kind = np.asarray(rows.tokens), np.array(ids)
    fits = (opener >= start) & (~nested | (outer >= start)) & (rows.documents[row, start] == rows.documents[row, pos])
    fits &= (tokens[row, opener] == of_kind[right, 0]) & (tokens[row, pos] == of_kind[right, 1])
    drawn = (right + generator.integers(1, len(BRACKETS), len(right))) % len(BRACKETS)
    wrong = np.where(nested, structure.enclosing[row, pos], drawn)
    columns = (row, pos, right, wrong, nested.astype(int), np.asarray(rows.documents[row, pos]))
    return Candidates(*(values[fits].astype(np.int64) for values in columns))
