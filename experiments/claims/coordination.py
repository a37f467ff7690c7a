"""Claim 7: a head of layer 0 and a head of layer 1 come to affect the same tokens.

Of each seed: the pair whose overlap rises most on half of the documents, and its change on the others. p holds the mean
against the largest change of all pairs in permuted lists; the interval is over seeds.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from ablations.names import parse_head
from experiments.heldout.overlap_changes import ITSELF, SHUFFLED, pair_changes
from experiments.statistics.chosen_pair import mean_change
from experiments.statistics.permutation import smallest_detectable
from experiments.study import by_permutation, each_run
from experiments.study.over_seeds import ALPHA
from experiments.study.pair_scores import Pairs
from experiments.study.study import Study
from experiments.study.verdict import Claim, Control, Finding, Interest

CLAIM = Claim(
    number=7,
    name="coordination",
    statement="a layer-0 and a layer-1 head come to affect the same tokens",
    precondition="-",
    criterion="p < 0.05",
    figure="tokens-in-context",
)
INTEREST = Interest(0.1, "in r")
CONTROLS = {
    SHUFFLED: "lists of layer 1 shuffled among like tokens",
    ITSELF: "the early snapshot against itself, on other documents",
}


def find(study: Study) -> Finding:
    """The effects of removing each head, at mid-training and at the end of every run."""
    tables, lacking = each_run.measured(study.cells, study.overlap_changes)
    return judge(tables, [cells.run.name for cells in study.judged], lacking)


def chosen_pairs(study: Study) -> Pairs:
    """Pairs of heads of every run that come to affect the same tokens in both halves of the documents."""
    tables, _ = each_run.measured(study.cells, study.overlap_changes)
    return {run: pairs(table) for run, table in tables.items()}


def pairs(table: xr.Dataset) -> list[tuple[str, str]]:
    """The names of the pairs that both halves confirm."""
    first, second = table["first"].values.tolist(), table["second"].values.tolist()
    return [(first[a], second[b]) for a, b in np.argwhere(pair_changes(table).confirmed)]


def judge(tables: Mapping[str, xr.Dataset], judged: Sequence[str], lacking: Mapping[str, str] | None = None) -> Finding:
    """The verdict is of the judged runs; tables: of `overlap_changes`, by run; lacking: why others have none."""
    lacking = lacking or {}
    ours = [run for run in judged if run in tables] or list(tables)
    untestable, remarks = each_run.reasons(judged, lacking)
    change = mean_change([pair_changes(tables[run]) for run in ours])
    critical = smallest_detectable(change.null).critical * change.se
    return by_permutation.finding(
        CLAIM,
        {run: pair_changes(tables[run]).tested for run in ours},
        p=change.p,
        critical=f"a change of {critical:.3f} (where p is 0.05)",
        untestable=untestable,
        statistic="correlation within strata of the tokens that two heads matter most for, late minus early, of the "
        "pair chosen on other documents",
        interest=INTEREST,
        controls=[_control(name, comparison, [tables[run] for run in ours]) for comparison, name in CONTROLS.items()],
        details={run: _details(table) for run, table in tables.items()},
        remarks=[*(f"{run}: {_sentence(table)}" for run, table in tables.items()), *remarks],
        units=f"{len(ours)} seeds ({_counts(tables, ours)}); in each one pair of heads",
    )


def _control(name: str, comparison: str, tables: Sequence[xr.Dataset]) -> Control:
    change = mean_change([pair_changes(table, comparison) for table in tables])
    return Control(name, change.value, change.p, change.p < ALPHA)


def _counts(tables: Mapping[str, xr.Dataset], ours: Sequence[str]) -> str:
    counts = ((run, tables[run].attrs) for run in ours)
    return ", ".join(f"{run}: {attrs['documents']} documents, {attrs['tokens']} tokens" for run, attrs in counts)


def _details(table: xr.Dataset) -> dict:
    """The overlaps of all pairs, and what the chosen one does on the testing half."""
    changes, heads = pair_changes(table), table["head"].values.tolist()
    layer = np.array([parse_head(name)[0] for name in heads])
    grown = (table.overlap.values[1] - table.overlap.values[0])[np.triu_indices(len(heads), 1)]
    across = np.not_equal.outer(layer, layer)[np.triu_indices(len(heads), 1)]
    first, second = changes.pair
    return {
        "heads": heads,
        "overlap, early and late": np.round(table.overlap.values, 4),
        "mean change, pairs across layers": _mean(grown[across]),
        "mean change, pairs within layers": _mean(grown[~across]),
        "chosen pair": [str(table["first"].values[first]), str(table["second"].values[second])],
        "its change on the testing half": changes.tested,
        "se": changes.tested_se,
        "p": mean_change([changes]).p,
        "pairs": [list(pair) for pair in pairs(table)],
    }


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _sentence(table: xr.Dataset) -> str:
    own = _details(table)
    return (
        f"{' and '.join(own['chosen pair'])} (se {own['se']:.3f} by document, p = {own['p']:.3f}), {len(own['pairs'])} "
        f"pairs in both halves, mean change of pairs across layers {own['mean change, pairs across layers']:+.4f}, "
        f"within layers {own['mean change, pairs within layers']:+.4f}"
    )


FINDERS = {CLAIM: find}
