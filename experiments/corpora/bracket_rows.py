"""Brackets and quotes of a corpus's rows: `circuits.brackets` on the documents that they are cut from."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int8, Int16, Int64
from tokenizers import Tokenizer

from circuits import brackets
from circuits.brackets import TokenStructure
from experiments import corpora
from experiments.corpora import documents
from experiments.corpora.corpus import Corpus

AT_ONCE = 64  # documents that are encoded together


class RowStructure(NamedTuple):
    """What each token of some rows closes; kinds are indices into `brackets.KINDS`, places are positions in the row.

    -1: no closer; for places also: not in this row. BOS closes nothing, and is not known.
    """

    kind: Int8[np.ndarray, "row pos"]
    opener: Int16[np.ndarray, "row pos"]
    enclosing: Int8[np.ndarray, "row pos"]  # the closer that the bracket around it takes
    outer: Int16[np.ndarray, "row pos"]  # where that bracket opens
    nested: Bool[np.ndarray, "row pos"]  # is that bracket of another type?
    known: Bool[np.ndarray, "row pos"]


def of_rows(rows: Corpus) -> RowStructure:
    """What the tokens of these rows close. Only documents that are in them are read, and of "python" only the code.

    Raises ValueError where a document does not encode to the tokens of the rows.
    """
    shape = rows.tokens.shape
    structure = RowStructure(
        kind=np.full(shape, -1, np.int8),
        opener=np.full(shape, -1, np.int16),
        enclosing=np.full(shape, -1, np.int8),
        outer=np.full(shape, -1, np.int16),
        nested=np.zeros(shape, bool),
        known=np.zeros(shape, bool),
    )
    tokens, positions, cells_of = rows.tokens.reshape(-1), rows.positions.reshape(-1), _cells(rows)
    for number, ids, by_token in _documents(rows, cells_of):
        cells = cells_of[number]
        places, column = positions[cells], cells % shape[1]
        if places.max() >= len(ids) or (ids[places] != tokens[cells]).any():
            raise ValueError(
                f"document {number} of corpus {rows.name!r} does not encode to the tokens of its rows: "
                "the text or the tokenizer has changed, build the rows again"
            )
        for name in ("kind", "enclosing", "nested", "known"):
            getattr(structure, name).reshape(-1)[cells] = getattr(by_token, name)[places]
        for name in ("opener", "outer"):
            place = getattr(by_token, name)[places]
            in_row = column - (places - place)
            getattr(structure, name).reshape(-1)[cells] = np.where((place >= 0) & (in_row > 0), in_row, -1)
    return structure


def _cells(rows: Corpus) -> dict[int, Int64[np.ndarray, " cell"]]:
    """The places of each document's tokens in the flattened rows, without BOS, which stands for no text."""
    numbers = np.array(rows.documents)
    numbers[np.asarray(rows.tokens) == corpora.bos(rows.tokenizer)] = -1
    order = np.argsort(numbers, axis=None, kind="stable")
    present, first = np.unique(numbers.reshape(-1)[order], return_index=True)
    cells_of = zip(present, np.split(order, first[1:]), strict=True)
    return {int(number): cells for number, cells in cells_of if number >= 0}


def _documents(
    rows: Corpus, cells_of: dict[int, Int64[np.ndarray, " cell"]]
) -> Iterator[tuple[int, Int64[np.ndarray, " token"], TokenStructure]]:
    """Number, tokens and structure of each document that has cells in the rows and is Python."""
    batch: list[tuple[int, str]] = []
    for number, text in _sources(rows):
        if number in cells_of:
            batch.append((number, text))
        if len(batch) == AT_ONCE:
            yield from _read(batch, rows.tokenizer)
            batch = []
    yield from _read(batch, rows.tokenizer)


def _sources(rows: Corpus) -> Iterator[tuple[int, str]]:
    """Number and text of every document that is Python: not prose, which `corpora.interleave` numbers after code."""
    if rows.name == "python:prose":
        return
    if rows.name != "python":
        yield from enumerate(documents.texts(rows.name, rows.split))
        return
    code = corpora.load("python:code", tokenizer=rows.tokenizer, n_ctx=rows.tokens.shape[1], split=rows.split)
    count = int(code.documents.max()) + 1
    for number, text in enumerate(documents.texts("python:code", rows.split)):
        if number < count:
            yield number, text


def _read(
    batch: list[tuple[int, str]], tokenizer: Tokenizer
) -> Iterator[tuple[int, Int64[np.ndarray, " token"], TokenStructure]]:
    """Number, tokens and structure of each of these documents."""
    encodings = tokenizer.encode_batch([text for _, text in batch], add_special_tokens=False)
    for (number, text), encoding in zip(batch, encodings, strict=True):
        offsets = np.array(encoding.offsets, dtype=np.int64).reshape(-1, 2)
        structure = brackets.on_tokens(brackets.closers(text), text, offsets)
        yield number, np.array(encoding.ids), structure
