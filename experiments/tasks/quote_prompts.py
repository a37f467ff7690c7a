"""Prompts of the task "quotes": windows of held-out Python that end right before a string's closing quote.

Half of the strings are in double quotes, half in single ones; the other quote is the wrong answer. A window is of one
document; strings of three quotes, empty ones, and those that begin before the window are left out. Corrupted: the other
quote opens the string.
"""

import numpy as np
import torch
from jaxtyping import Int

from ablations.not_measurable import NotMeasurable
from circuits import tasks
from circuits.brackets import BRACKETS, KINDS
from circuits.tasks import Task
from experiments import corpora
from experiments.corpora import bracket_rows
from experiments.results.inputs import Inputs
from experiments.tasks.bracket_prompts import FEWEST, LENGTH, ROWS

QUOTES = KINDS[len(BRACKETS) :]


def task(inputs: Inputs, prompts: int) -> Task:
    """So many prompts, or as many as there are, documents taking turns.

    Raises NotMeasurable for fewer than `FEWEST`.
    """
    length, generator = min(LENGTH, inputs.n_ctx), np.random.default_rng(inputs.plan.seed)
    rows = inputs.free_text.part(slice(0, ROWS))
    vocabulary, tokens = rows.tokenizer.get_vocab(), rows.batch(slice(None)).numpy()
    if missing := [quote for quote in QUOTES if quote not in vocabulary]:
        raise NotMeasurable(f"{' '.join(missing)}: no token of its own; use a tokenizer in which every quote is one")
    ids = np.array([vocabulary[quote] for quote in QUOTES])
    structure = bracket_rows.of_rows(rows)
    row, pos = np.nonzero(structure.kind >= len(BRACKETS))
    row, pos = row[pos >= length], pos[pos >= length]
    opener = structure.opener[row, pos].astype(np.int64)
    right = structure.kind[row, pos].astype(np.int64) - len(BRACKETS)
    fits = (opener >= pos - length + 1) & (tokens[row, opener] == ids[right]) & (tokens[row, pos] == ids[right])
    fits &= rows.documents[row, pos - length + 1] == rows.documents[row, pos]
    fits &= (opener + 1 < pos) & (tokens[row, opener + 1] != ids[right])
    row, pos, opener, right = (values[fits] for values in (row, pos, opener, right))
    chosen = _balanced(right, np.asarray(rows.documents)[row, pos], prompts, generator)
    if len(chosen) < FEWEST:
        raise NotMeasurable(
            f"corpus {rows.name!r} gives {len(chosen)} balanced quote prompts in {len(rows)} rows, "
            f"{FEWEST} are needed: use more Python code"
        )
    row, pos, opener, right = (values[chosen] for values in (row, pos, opener, right))
    windows = tokens[row[:, None], pos[:, None] - length + np.arange(length)]
    windows[:, 0] = corpora.bos(rows.tokenizer)
    arrays = (windows, opener - (pos - length), ids[1 - right], ids[right], ids[1 - right])
    return tasks.replaced("quotes", *(torch.from_numpy(array.astype(np.int64)) for array in arrays))


def _balanced(
    right: Int[np.ndarray, " closer"], documents: Int[np.ndarray, " closer"], count: int, generator: np.random.Generator
) -> Int[np.ndarray, " prompt"]:
    """Indices of as many closers of one quote as of the other; the first of every document in random order, then the
    second, and so on.
    """
    groups = []
    for quote in range(len(QUOTES)):
        own = generator.permutation(np.flatnonzero(right == quote))
        order = np.argsort(documents[own], kind="stable")
        starts = np.searchsorted(documents[own][order], documents[own][order])
        turn = np.empty(len(own), dtype=np.int64)
        turn[order] = np.arange(len(own)) - starts
        groups.append(own[np.argsort(turn, kind="stable")])
    size = min(count // len(QUOTES), *map(len, groups))
    return np.concatenate([group[:size] for group in groups])
