"""What kind of token each token of a run's free held-out text is, apart from multigrams: repeats, closers, quotes."""

import numpy as np
import xarray as xr

from circuits import brackets, token_kinds
from circuits.multigrams import Text
from experiments import corpora
from experiments.corpora import bracket_rows
from experiments.corpora.corpus import Corpus
from experiments.results.cells import Cells
from experiments.results.inputs import Inputs
from experiments.results.kind import Kind, Parameters


def text(rows: Corpus) -> Text:
    """The rows as text in which tokens that repeat, and tokens that begin with a closer, are no targets."""
    tokens, decode = rows.batch(slice(None)).numpy(), rows.tokenizer.decode
    vocabulary = range(rows.tokenizer.get_vocab_size())
    closers = [token for token in vocabulary if decode([token]).lstrip()[:1] in brackets.KINDS]
    taken_out = token_kinds.repeats(tokens) | np.isin(tokens, [*closers, corpora.bos(rows.tokenizer)])
    return Text(tokens, np.asarray(rows.documents), np.asarray(rows.positions), ~taken_out)


def measure(inputs: Inputs, step: None, cells: Cells, rows: int) -> xr.Dataset:
    """induction, bracket, quote [row, pos]: whether a token of the first rows of the free held-out text is of that
    kind; the last two where the text is Python.
    """
    chosen = inputs.free_text.part(slice(0, rows))
    closes = bracket_rows.of_rows(chosen).kind
    quote = closes >= len(brackets.BRACKETS)
    kinds = {
        "induction": token_kinds.repeats(chosen.batch(slice(None)).numpy()),
        "bracket": (closes >= 0) & ~quote,
        "quote": quote,
    }
    return xr.Dataset({name: (("row", "pos"), values) for name, values in kinds.items()})


def label(inputs: Inputs, parameters: Parameters) -> str:
    """The kind, and how many rows."""
    return f"kinds of tokens, {parameters['rows']} rows"


def seconds(inputs: Inputs, parameters: Parameters) -> float:
    """Rough seconds, which go with the tokens."""
    return 5e-5 * parameters["rows"] * inputs.n_ctx


LABELLED_TOKENS = Kind(
    "labelled_tokens",
    (2,),
    measure,
    steps=None,
    plan_fields=("text_rows", "reference_rows"),
    seconds=seconds,
    label=label,
)
