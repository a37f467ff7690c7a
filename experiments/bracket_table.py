"""Which closer a run expects where Python closes a bracket or a string, and which heads and paths that hangs on.

The statistic is the log-odds of the right closer against wrong ones (`closers.log_odds`), so which closer, not when:

    nested    a bracket in one of another type: against the closer of the bracket around it
    unnested  any other bracket: against both other types together
    quote     a string's end: against the other quote

Closers count whose opener is in the row, and for nested ones the bracket around it too. A removed head's mean output
stands in for it, a cut path's source's for what the path carries (queries, keys and values at once).
"""

from collections.abc import Collection
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
import xarray as xr
from jaxtyping import Bool, Float, Int, Int64
from scipy import stats
from torch import Tensor

from ablations import attention, effects, rerun, substitutes
from ablations.changes import Change
from ablations.names import all_heads, head_name
from ablations.paths import VIAS, Path, ends
from circuits import closers
from circuits.brackets import BRACKETS, KINDS
from experiments import bench, cells, structure, survey
from experiments.bench import Bench
from experiments.cells import Cells
from experiments.store import cached

GROUPS = ("nested", "unnested", "quote")
TOKENS = 500_000  # of held-out text, at most, in which closers are looked for
ROWS = 256  # with nested closers, at most, on which heads and paths are removed
AT_ONCE = 16


class Chosen(NamedTuple):
    """Closers of some rows, and what each is measured against."""

    row: Int64[np.ndarray, " closer"]
    pos: Int64[np.ndarray, " closer"]
    document: Int64[np.ndarray, " closer"]
    group: Int64[np.ndarray, " closer"]  # index into GROUPS
    right: Int64[np.ndarray, " closer"]  # index into KINDS
    wrong: Bool[np.ndarray, "closer kind"]


def table(found: Cells, step: int, tokens: int = TOKENS) -> xr.Dataset:
    """By group, on rows with nested closers: log_odds (positive: the right closer leads), share_right, their _se,
    closers and documents; all_closers and all_documents: in all the text that was read, `tokens` at most.

    By change and group: lost, the log-odds that removing a head or cutting a path loses (positive: it helps), lost_se,
    p, and q: p under Benjamini and Hochberg (1995) over the changes of the group. Errors are by document; p-values by
    Student's t with a degree of freedom for each document but one.
    """
    tokens = min(tokens, survey.available(found.on))
    key = cells.key(found.on, "brackets", step) | {"tokens": tokens, "rows": ROWS}
    return cached(found.folder, key, partial(_measure, found.on, step, tokens))


def single_changes(on: Bench) -> dict[str, Change]:
    """By name: every head, and every pair of an earlier and a later head ("L0H1->L1H2"), through q, k and v at once."""
    heads = all_heads(on.run.model_config())
    pairs = [(source, target) for source in heads for target in heads if source[0] < target[0]]
    cut = [[Path(source, target, via) for via in VIAS] for source, target in pairs]
    return {head_name(head): Change(heads=(head,)) for head in heads} | {
        "->".join(ends(paths[0])): Change(cuts=tuple(paths)) for paths in cut
    }


def sentences(measured: xr.Dataset, top: int = 5) -> list[str]:
    """For a terminal: each group's log-odds, and the heads and paths whose removal changes them most, among those that
    pass a false-discovery rate of 5%, with 95% intervals.
    """
    lines = []
    for name in measured.group.values:
        group = measured.sel(group=name)
        lines.append(
            f"{name}: log-odds of the right closer {_interval(group.log_odds, group.log_odds_se)}, it leads at "
            f"{100 * group.share_right:.0f}% of {int(group.closers)} closers in {int(group.documents)} documents"
        )
        passing = group.isel(change=np.flatnonzero(group.q <= 0.05))
        order = np.argsort(-np.abs(passing.lost.values), kind="stable")[:top]
        lost = [passing.isel(change=at) for at in order]
        lines += [f"  lost without {one.change.item():10} {_interval(one.lost, one.lost_se)}" for one in lost]
    return lines


def _interval(value: xr.DataArray, se: xr.DataArray) -> str:
    return f"{float(value):.2f} [{float(value - 1.96 * se):.2f}, {float(value + 1.96 * se):.2f}]"


def choose(rows: structure.RowStructure, documents: Int[np.ndarray, "row pos"]) -> Chosen:
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
    wrong = np.where(
        (group == 0)[:, None], kinds == rows.enclosing[row, pos][:, None], of_type & (kinds != right[:, None])
    )
    return Chosen(row, pos, np.asarray(documents[row, pos], dtype=np.int64), group, right, wrong)


def _measure(on: Bench, step: int, tokens: int) -> xr.Dataset:
    every = survey.text(on).part(slice(0, -(-tokens // (on.run.config["model"]["n_ctx"] - 1))))
    everywhere = choose(structure.of_rows(every), every.documents)
    used = np.unique(everywhere.row[everywhere.group == 0])[:ROWS]
    if len(used) == 0:
        raise ValueError(f"no bracket is nested in {len(every)} rows of corpus {every.name!r}: use more Python code")
    of_used = np.isin(everywhere.row, used)
    chosen = Chosen(*(values[of_used] for values in everywhere))
    tried = single_changes(on)
    odds = _log_odds(
        on, step, every.batch(used), chosen._replace(row=np.searchsorted(used, chosen.row)), tried.values()
    )
    parts = [_of_group(odds, chosen, everywhere, group) for group in range(len(GROUPS))]
    data = xr.concat(parts, "group").assign_coords(group=list(GROUPS), change=list(tried))
    return data.assign_attrs(step=step, tokens=every.tokens[:, 1:].size, rows=len(used))


def _of_group(odds: Float[np.ndarray, "run closer"], chosen: Chosen, everywhere: Chosen, group: int) -> xr.Dataset:
    """What `table` says, of one group. Raises ValueError with closers in fewer than two documents."""
    here, documents = odds[:, chosen.group == group], chosen.document[chosen.group == group]
    count = len(np.unique(documents))
    if count < 2:
        raise ValueError(f"{GROUPS[group]} closers in {count} documents: errors need two, use more Python code")
    values = np.concatenate([here[:1], here[:1] > 0, here[:1] - here[1:]])
    value, se = np.array(effects.estimates(effects.cluster_sums(values, documents))).T
    p = 2 * stats.t.sf(np.abs(value[2:] / np.where(se[2:] > 0, se[2:], np.inf)), count - 1)
    all_of_group = everywhere.group == group
    data = {
        "log_odds": value[0],
        "log_odds_se": se[0],
        "share_right": value[1],
        "share_right_se": se[1],
        "lost": ("change", value[2:]),
        "lost_se": ("change", se[2:]),
        "p": ("change", p),
        "q": ("change", stats.false_discovery_control(p)),
        "closers": len(documents),
        "documents": count,
        "all_closers": int(all_of_group.sum()),
        "all_documents": len(np.unique(everywhere.document[all_of_group])),
    }
    return xr.Dataset(data)


def _log_odds(
    on: Bench, step: int, tokens: Int64[Tensor, "row pos"], chosen: Chosen, tried: Collection[Change]
) -> Float[np.ndarray, "run closer"]:
    """Log-odds of every closer: as the model is, then under each change. Closers are in the order of their rows."""
    model = bench.model(on.run.folder, step)
    weights, cfg = attention.weights_of(model), model.cfg
    (values,) = substitutes.means(weights, cfg, on.reference)(slice(0, 0))
    vocabulary = [on.run.tokenizer.decode([token]) for token in range(cfg.d_vocab)]
    of_kind = closers.closer_tokens(vocabulary)
    # only the closers' columns are needed; their tokens are renumbered
    columns = torch.cat([*of_kind.values()])
    of_kind = dict(zip(of_kind, torch.arange(len(columns)).split([*map(len, of_kind.values())]), strict=True))
    narrow = {**weights, **{f"unembed.{name}": weights[f"unembed.{name}"][..., columns] for name in ("W_U", "b_U")}}
    parts = []
    with torch.no_grad():
        for start in range(0, len(tokens), AT_ONCE):
            block = slice(*np.searchsorted(chosen.row, (start, start + AT_ONCE)))
            row, pos = torch.from_numpy(chosen.row[block] - start), torch.from_numpy(chosen.pos[block] - 1)
            right, wrong = torch.from_numpy(chosen.right[block]), torch.from_numpy(chosen.wrong[block])
            run = rerun.prepare(weights, cfg, rerun.clean_run(weights, cfg, tokens[start : start + AT_ONCE]), values)
            residuals = (rerun.final_residual(run, change)[row, pos] for change in (Change(), *tried))
            kinds = (closers.by_kind(attention.unembed(narrow, cfg, residual), of_kind) for residual in residuals)
            parts.append(torch.stack([closers.log_odds(found, right, wrong) for found in kinds]))
    return torch.cat(parts, dim=1).double().numpy()
