"""Which closer a run expects where Python closes a bracket or a string, and which heads and paths that hangs on.

The statistic is the log-odds of the right closer against wrong ones (`closers.log_odds`), so which closer, not when:

    nested    a bracket in one of another type: against the closer of the bracket around it
    unnested  any other bracket: against both other types together
    quote     a string's end: against the other quote

Closers count whose opener is in the row, and for nested ones the bracket around it too. A removed head's mean output
stands in for it, a cut path's source's for what the path carries (queries, keys and values at once). The values of
single closers are `bracket_closers`'.
"""

import numpy as np
import xarray as xr
from jaxtyping import Float, Int64
from scipy import stats

from ablations import effects
from ablations.not_measurable import NotMeasurable
from experiments.jobs.job import Job
from experiments.measurements.labels import with_errors
from experiments.results import pass_time
from experiments.results.cells import Cells
from experiments.results.committed import whole
from experiments.results.inputs import Inputs
from experiments.results.kind import Kind
from experiments.statistics.intervals import bracketed, caution, degrees_of
from experiments.tasks import closer_odds
from experiments.tasks.closer_odds import GROUPS, ROWS, TOKENS


def table(cells: Cells, step: int, tokens: int = TOKENS) -> xr.Dataset:
    """What `measure` says, on at most so many tokens of the free held-out text."""
    return cells.get(BRACKET_EFFECTS, step, **_parameters(cells, tokens))


def missing(cells: Cells, step: int, tokens: int = TOKENS) -> list[Job]:
    """The job of `table`, nothing where it is there."""
    return cells.missing(BRACKET_EFFECTS, step, **_parameters(cells, tokens))


def _parameters(cells: Cells, tokens: int) -> dict:
    return {"tokens": min(tokens, cells.inputs.free_tokens), "rows": ROWS}


def sentences(measured: xr.Dataset, top: int = 5) -> list[str]:
    """Lines for a terminal: each group's log-odds, and the heads and paths whose removal changes them most, among those
    that pass a false-discovery rate of 5%, with 95% intervals.
    """
    lines = []
    for name in measured.group.values:
        group = measured.sel(group=name)
        odds = bracketed(float(group.log_odds), float(group.log_odds_se), degrees=degrees_of(group, "log_odds"))
        lines.append(
            f"{name}: log-odds of the right closer {odds}, it leads at "
            f"{100 * group.share_right:.0f}% of {int(group.closers)} closers in {int(group.documents)} documents"
        )
        passing = group.isel(change=np.flatnonzero(group.q <= 0.05))
        order = np.argsort(-np.abs(passing.lost.values), kind="stable")[:top]
        lost = [passing.isel(change=at) for at in order]
        ends = [bracketed(float(one.lost), float(one.lost_se), degrees=degrees_of(one, "lost")) for one in lost]
        named = zip(lost, ends, strict=True)
        lines += [f"  lost without {one.change.item():10} {interval}" for one, interval in named]
        lines += [f"  {word}"] if (word := caution(group, "log_odds")) else []
    return lines


def measure(inputs: Inputs, step: int, cells: Cells, tokens: int, rows: int) -> xr.Dataset:
    """Each group, on rows with nested closers: log_odds (positive: the right closer leads), share_right, their _se and
    _degrees, closers and documents; all_closers and all_documents: in all the text that was read, `tokens` at most.

    By change and group: lost, the log-odds that removing a head or cutting a path loses (positive: it helps), with its
    error, p, and q: p under Benjamini and Hochberg (1995) over the changes of the group. Errors are clustered by
    document; p-values by Student's t with the errors' degrees of freedom.
    """
    single = closer_odds.table(cells, step, tokens, rows)
    parts = []
    for number, name in enumerate(GROUPS):
        here = single.isel(closer=np.flatnonzero(single.group.values == number))
        part = _of_group(here.log_odds.values.astype(np.float64), here.document.values, name)
        every = single.sel(in_group=name)
        parts.append(part.assign(all_closers=int(every.all_closers), all_documents=int(every.all_documents)))
    data = xr.concat(parts, "group").assign_coords(group=list(GROUPS), change=single.change.values[1:])
    return data.assign_attrs(single.attrs)


def _of_group(odds: Float[np.ndarray, "run closer"], documents: Int64[np.ndarray, " closer"], name: str) -> xr.Dataset:
    """What `measure` says, of one group; the first run is clean. Raises NotMeasurable with closers in fewer than two
    documents.
    """
    count = len(np.unique(documents))
    if count < 2:
        raise NotMeasurable(f"{name} closers in {count} documents: errors need two, use more Python code")
    values = np.concatenate([odds[:1], odds[:1] > 0, odds[:1] - odds[1:]])
    clean, right, *lost = effects.estimates(effects.cluster_sums(values, documents))
    value, se = np.array([estimate[:2] for estimate in lost]).reshape(-1, 2).T
    p = 2 * stats.t.sf(np.abs(value / np.where(se > 0, se, np.inf)), clean.degrees)
    data = {
        **with_errors("log_odds", (), [clean]),
        **with_errors("share_right", (), [right]),
        **with_errors("lost", ("change",), lost),
        "p": ("change", p),
        "q": ("change", stats.false_discovery_control(p)),
        "closers": len(documents),
        "documents": count,
    }
    return xr.Dataset(data)


BRACKET_EFFECTS = Kind(
    "brackets",
    (7,),
    measure,
    plan_fields=("text_rows", "reference_rows"),
    seconds=pass_time.Passes(5000),
    keeps=whole,
)
