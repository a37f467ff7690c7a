"""What wrote each token of rows of the synthetic language, so that every tool's answer can be held against it."""

import numpy as np

from ablations.not_measurable import NotMeasurable
from experiments.corpora.corpus import Corpus
from experiments.corpora.names import SYNTHETIC
from experiments.corpora.synthetic_language import parse, truth
from experiments.corpora.synthetic_text import HELD_OUT_EVERY, Written, written


def labels(rows: Corpus) -> Written:
    """`Written` of every token [row, pos]; BOS has kind -1, pattern -1 and log-probability NaN.

    Raises NotMeasurable for rows of another corpus, and ValueError for text that the language does not write today.
    """
    if rows.name.partition(":")[0] != SYNTHETIC:
        raise NotMeasurable(f"what wrote the tokens of corpus {rows.name!r} is not known: give rows of {SYNTHETIC!r}")
    planted, shape = truth(parse(rows.name)), rows.tokens.shape
    blank = (np.full(shape, -1, np.int8), np.full(shape, -1, np.int16), np.full(shape, np.nan))
    known = Written(np.array(rows.tokens, dtype=np.int64), *blank)
    numbers, positions = np.asarray(rows.documents), np.asarray(rows.positions)
    is_text = (positions < planted.language.length) & (np.arange(shape[1]) > 0)
    places = np.flatnonzero(is_text)
    places = places[np.argsort(numbers.ravel()[places], kind="stable")]
    indices, first = np.unique(numbers.ravel()[places], return_index=True)
    for index, cells in zip(indices.tolist(), np.split(places, first[1:]), strict=True):
        page, inside = written(planted, number_of(index, rows.split)), positions.ravel()[cells]
        if (page.tokens[inside] != known.tokens.ravel()[cells]).any():
            raise ValueError(
                f"document {index} of corpus {rows.name!r} is not what the language writes: "
                "it was built by another version, empty the cache"
            )
        for name in Written._fields[1:]:
            getattr(known, name).reshape(-1)[cells] = getattr(page, name)[inside]
    return known


def number_of(index: int, split: str) -> int:
    """The number among all documents of the one that has this index in its split."""
    if split == "test":
        return index * HELD_OUT_EVERY + HELD_OUT_EVERY - 1
    return index // (HELD_OUT_EVERY - 1) * HELD_OUT_EVERY + index % (HELD_OUT_EVERY - 1)
