"""The log-odds of the right closer at every closer, as a run is, and without each head and each path from head to head.

`bracket_table` says which closers count, and reduces these values to means; here each stands by itself, so that it can
be held against others like it, and against itself at another checkpoint.

A string's end stands twice: against the other quote, and against the closer of the bracket around the string (where
there is none, against all three), as a bracket's closer in a bracket of another type stands against that one's.
"""

from collections.abc import Collection
from typing import NamedTuple

import numpy as np
import torch
import xarray as xr
from jaxtyping import Bool, Float, Int, Int64
from torch import Tensor

from ablations import forward, substitutes
from ablations.changes import Change
from ablations.names import all_heads, head_name
from ablations.not_measurable import NotMeasurable
from ablations.paths import VIAS, Path, ends
from circuits import closers
from circuits.brackets import BRACKETS, KINDS
from experiments.corpora import bracket_rows
from experiments.results import pass_time
from experiments.results.cells import Cells
from experiments.results.inputs import Inputs
from experiments.results.kind import Kind

GROUPS = ("nested", "unnested", "quote")
QUOTES = ("nested quote", "unnested quote")  # strings in a bracket, and in none, against closers of brackets
ALL_GROUPS = (*GROUPS, *QUOTES)
TOKENS = 500_000  # of held-out text, at most, in which closers are looked for
ROWS = 256  # with nested closers, at most, on which heads and paths are removed
CLEAN = "clean"  # the run without a change, among changes


class Chosen(NamedTuple):
    """Closers of some rows, and what each is measured against."""

    row: Int64[np.ndarray, " closer"]
    pos: Int64[np.ndarray, " closer"]
    document: Int64[np.ndarray, " closer"]
    distance: Int64[np.ndarray, " closer"]  # tokens from its opener
    group: Int64[np.ndarray, " closer"]  # index into ALL_GROUPS
    right: Int64[np.ndarray, " closer"]  # index into KINDS
    wrong: Bool[np.ndarray, "closer kind"]


def table(cells: Cells, step: int, tokens: int = TOKENS, rows: int = ROWS) -> xr.Dataset:
    """What `measure` says, on at most so many tokens of the free held-out text."""
    return cells.get(CLOSER_ODDS, step, **parameters(cells, tokens, rows))


def parameters(cells: Cells, tokens: int = TOKENS, rows: int = ROWS) -> dict:
    """The parameters of the cell that `table` gives."""
    return {"tokens": min(tokens, cells.inputs.free_tokens), "rows": rows}


def of_paths(table: xr.Dataset) -> xr.Dataset:
    """The table as it is committed: paths alone, in 16 bits, which are exact to 0.01 nats."""
    names = table.change.values.tolist()
    chosen = [name for name in names if name == CLEAN or "->" in name]
    return table.sel(change=chosen).assign(log_odds=table.log_odds.sel(change=chosen).astype(np.float16))


def single_changes(inputs: Inputs) -> dict[str, Change]:
    """All changes by their names: every head, and every pair of an earlier and a later head ("L0H1->L1H2"), cut through
    q, k and v at once.
    """
    heads = all_heads(inputs.run.model_config())
    pairs = [(source, target) for source in heads for target in heads if source[0] < target[0]]
    cut = [[Path(source, target, via) for via in VIAS] for source, target in pairs]
    return {head_name(head): Change(heads=(head,)) for head in heads} | {
        "->".join(ends(paths[0])): Change(cuts=tuple(paths)) for paths in cut
    }


def choose(rows: bracket_rows.RowStructure, documents: Int[np.ndarray, "row pos"]) -> Chosen:
    """The closers that are measured; documents: of every token."""
    quotes = np.arange(len(KINDS)) >= len(BRACKETS)
    seen = (rows.kind >= 0) & (rows.opener >= 0)
    is_quote = seen & quotes[rows.kind]
    nested = seen & ~is_quote & rows.nested
    group = np.select([nested & (rows.outer >= 0), seen & ~is_quote & ~nested, is_quote], range(3), -1)
    row, pos = np.nonzero(group >= 0)
    right, group = rows.kind[row, pos].astype(np.int64), group[row, pos].astype(np.int64)
    kinds = np.arange(len(KINDS))
    of_type = quotes[kinds] == quotes[right][:, None]  # brackets against brackets, quotes against quotes
    around = kinds == rows.enclosing[row, pos][:, None]
    wrong = np.where((group == 0)[:, None], around, of_type & (kinds != right[:, None]))
    document = np.asarray(documents[row, pos], dtype=np.int64)
    alone = Chosen(row, pos, document, pos - rows.opener[row, pos].astype(np.int64), group, right, wrong)
    return _with_quotes(alone, around, rows.outer[row, pos] >= 0)


def _with_quotes(alone: Chosen, around: Bool[np.ndarray, "closer kind"], in_row: Bool[np.ndarray, " closer"]) -> Chosen:
    """The closers, and strings' ends once more against closers of brackets: that of the bracket around them if it opens
    in the row, all three if there is none; in the order of rows. around: what that bracket's closer is.
    """
    quotes = np.arange(len(KINDS)) >= len(BRACKETS)
    inside = np.any(around, axis=1)
    again = np.flatnonzero((alone.group == GROUPS.index("quote")) & (in_row | ~inside))
    more = Chosen(*(values[again] for values in alone))
    group = np.where(inside[again], *map(ALL_GROUPS.index, QUOTES))
    wrong = np.where(inside[again][:, None], around[again], ~quotes)
    both = zip(alone, more._replace(group=group, wrong=wrong), strict=True)
    joined = Chosen(*(np.concatenate(pair) for pair in both))
    order = np.lexsort((joined.group, joined.pos, joined.row))
    return Chosen(*(values[order] for values in joined))


def measure(inputs: Inputs, step: int, cells: Cells, tokens: int, rows: int) -> xr.Dataset:
    """log_odds [change, closer] on `rows` rows with nested closers at most, `CLEAN` first; of each closer row, pos,
    document, distance (tokens from its opener) and group (index into ALL_GROUPS). The same closers at every checkpoint.

    all_closers, all_documents [group]: in all the text that was read, `tokens` at most. Raises NotMeasurable for a text
    without nested brackets.
    """
    every = inputs.free_rows(tokens)
    everywhere = choose(bracket_rows.of_rows(every), every.documents)
    used = np.unique(everywhere.row[everywhere.group == 0])[:rows]
    if len(used) == 0:
        raise NotMeasurable(f"no bracket is nested in {len(every)} rows of corpus {every.name!r}: use more Python code")
    of_used = np.isin(everywhere.row, used)
    chosen = Chosen(*(values[of_used] for values in everywhere))
    tried = single_changes(inputs)
    in_order = chosen._replace(row=np.searchsorted(used, chosen.row))
    odds = _log_odds(inputs, step, every.batch(used), in_order, tried.values())
    of_groups = [everywhere.group == group for group in range(len(ALL_GROUPS))]
    data: dict = {"log_odds": (("change", "closer"), odds)}
    data |= {name: ("closer", getattr(chosen, name)) for name in ("row", "pos", "document", "distance", "group")}
    data["all_closers"] = ("in_group", [int(mask.sum()) for mask in of_groups])
    data["all_documents"] = ("in_group", [len(np.unique(everywhere.document[mask])) for mask in of_groups])
    coords = {"change": [CLEAN, *tried], "in_group": list(ALL_GROUPS)}
    return xr.Dataset(data, coords, {"step": step, "tokens": every.tokens[:, 1:].size, "rows": len(used)})


def _log_odds(
    inputs: Inputs, step: int, tokens: Int64[Tensor, "row pos"], chosen: Chosen, tried: Collection[Change]
) -> Float[np.ndarray, "change closer"]:
    """Log-odds of every closer: as the model is, then under each change. Closers are in the order of their rows."""
    model = inputs.model(step)
    weights, cfg = forward.weights_of(model), model.cfg
    (values,) = substitutes.means(weights, cfg, inputs.reference)(slice(0, 0))
    vocabulary = [inputs.run.tokenizer.decode([token]) for token in range(cfg.d_vocab)]
    measured = closers.Closers(*map(torch.from_numpy, (chosen.row, chosen.pos, chosen.right, chosen.wrong)))
    kind_tokens = closers.closer_tokens(vocabulary)
    changes = [Change(), *tried]
    return closers.log_odds_under(weights, cfg, tokens, measured, kind_tokens, changes, values).numpy()


CLOSER_ODDS = Kind(
    "closers",
    (7,),
    measure,
    plan_fields=("text_rows", "reference_rows"),
    seconds=pass_time.Passes(2500),
    keeps=of_paths,
)
