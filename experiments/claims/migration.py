"""Claim 10: particular multigrams move from layer 0 to layer 1.

`multigram_moves` says what each layer comes to do for the multigrams of the early snapshot. One moves from layer 0 to 1
when layer 0's falls and layer 1's rises, both by more than their 95% intervals reach (by document), and this on each of
two halves of the documents: a move seen on one half is confirmed on the other. Moves from 1 to 0 alike.

Multigrams with the same target share completions, so targets are counted: each votes for the direction in which more of
its multigrams move. The seed's number is the share of votes for 0 to 1, less a half.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from ablations.not_measurable import NotMeasurable
from experiments.heldout.multigram_moves import moves
from experiments.statistics.moves import Votes, at_random, clearest, votes
from experiments.study import each_run, layer_fall, over_seeds, settled
from experiments.study.study import Study
from experiments.study.verdict import Claim, Finding, Interest

CLAIM = Claim(
    number=10,
    name="migration",
    statement="particular multigrams move from layer 0 to layer 1",
    precondition="50 multigrams learned by stage two, snapshot before layer 0's fall (at most 20% of it over); the "
    "loss is settled",
    criterion="share of moves from 0 to 1 above a half, p < 0.05",
    figure="migration",
)
INTEREST = Interest(0.1, "in the share above a half")
FEWEST_KNOWN, WANTED = 50, 2_500_000  # multigrams of a run; held-out tokens that the criteria ask for
SHUFFLES = 200


def find(study: Study) -> Finding:
    """The multigrams of the early snapshot of every run, and what each layer does for them early and late."""
    tables, lacking = each_run.measured(study.cells, study.multigram_moves)
    unknown = []
    for cells in study.cells:
        name = cells.run.name
        try:
            why = layer_fall.too_late(study, cells)
        except NotMeasurable as error:
            unknown.append(f"not known whether the early snapshot of {name} lies before layer 0's fall: {error}")
        else:
            lacking = ({name: why} if why else {}) | lacking
    return judge(tables, [cells.run.name for cells in study.judged], lacking, unknown, settled.untestable(study))


def judge(
    tables: Mapping[str, xr.Dataset],
    judged: Sequence[str],
    lacking: Mapping[str, str] | None = None,
    unknown: Sequence[str] = (),
    unsettled: Sequence[str] = (),
) -> Finding:
    """The verdict is of the judged runs; tables: of `multigram_moves`, by run. lacking: why runs do not meet the
    precondition; unknown: what of it is not known.
    """
    few = {run: _few(run, table) for run, table in tables.items() if table.attrs["known"] < FEWEST_KNOWN}
    unmet = few | dict(lacking or {})
    untestable, remarks = each_run.reasons(judged, unmet)
    by_run = {run: votes(moves(table), table.target.values) for run, table in tables.items()}
    meeting = [run for run in each_run.meeting(judged, unmet) if run in tables]
    ours = [run for run in meeting if sum(by_run[run])]
    still = [f"{run} has no move that both halves confirm" for run in meeting if run not in ours]
    return over_seeds.finding(
        CLAIM,
        {run: by_run[run].share - 0.5 for run in ours},
        statistic="share of targets whose multigrams move from layer 0 to 1, of those that move at all, less a half",
        interest=INTEREST,
        controls=[
            over_seeds.control(
                f"layers paired at random (mean of {SHUFFLES}) give more than half of the surplus",
                {run: by_chance(tables[run], by_run[run]) for run in ours},
            )
        ],
        details={run: _details(table, by_run[run]) for run, table in tables.items()},
        remarks=[*(_sentence(run, table, by_run[run]) for run, table in tables.items()), *still, *remarks, *unknown],
        untestable=[*untestable, *unsettled],
        units=_units(ours, by_run),
    )


def _few(run: str, table: xr.Dataset) -> str:
    return f"{run} has {table.attrs['known']} multigrams at the early snapshot, {FEWEST_KNOWN} are asked"


def by_chance(table: xr.Dataset, own: Votes) -> float:
    """By how much more votes for 0 to 1 than for 1 to 0 the layers give where they are paired at random than half of
    the surplus that was found, as a share of all votes; at most the surplus at random itself.

    Above 0, what was found would come mostly of the two layers' spreads: layer 0 falls for many multigrams and layer 1
    rises for many, but not for the same ones. Moves by themselves give random pairs a few, and so a value below 0.
    """
    claimed, other = at_random(moves(table), table.target.values, SHUFFLES)
    surplus = claimed - other
    return min(surplus, surplus - (own.claimed - own.other) / 2) / sum(own)


def _units(ours: Sequence[str], by_run: Mapping[str, Votes]) -> str:
    counts = ", ".join(f"{run}: {sum(by_run[run])} targets that move" for run in ours)
    return f"{len(ours)} seeds ({counts or 'none'})"


def _details(table: xr.Dataset, own: Votes) -> dict:
    changes, texts = moves(table), table.text.values
    return {
        "held-out tokens": table.attrs["tokens"],
        "multigrams at the early snapshot": table.attrs["known"],
        "with 20 completions on each half": table.sizes["multigram"],
        "moves from 0 to 1": int(changes.moved(0).sum()),
        "moves from 1 to 0": int(changes.moved(1).sum()),
        "targets from 0 to 1": own.claimed,
        "targets from 1 to 0": own.other,
        "p of this seed's targets": own.p,
        "moved from 0 to 1": texts[clearest(changes, table.target.values)].tolist(),
        "moved from 1 to 0": texts[changes.moved(1)].tolist(),
        "shown in full": [_shown(table, place) for place in range(table.sizes["shown"])],
    }


def _shown(table: xr.Dataset, place: int) -> dict:
    """One of the clearest moves in full: early and late effects with errors, by head and by layer."""
    one = table.isel(shown=place)
    number, names = int(one.number), table.row.values.tolist()
    columns = [part.values[time].tolist() for part in (one.effect, one.effect_se) for time in (0, 1)]
    labels = ("early", "late", "se early", "se late")
    return {
        "multigram": str(table.text.values[number]),
        "completions": int(one.completions),
        "documents": int(one.documents),
        "change less the layer's mean, by half and layer": np.round(table.change.values[:, :, number], 4),
        "its error": np.round(table.change_se.values[:, :, number], 4),
        "degrees of freedom of the effects": round(float(one.effect_degrees), 1),
        "effect": {
            name: dict(zip(labels, values, strict=True))
            for name, values in zip(names, zip(*columns, strict=True), strict=True)
        },
    }


def _sentence(run: str, table: xr.Dataset, own: Votes) -> str:
    changes = moves(table)
    return (
        f"{run}: {int(changes.moved(0).sum())} multigrams move from layer 0 to 1 and {int(changes.moved(1).sum())} "
        f"from 1 to 0 ({own.claimed} and {own.other} targets), of {table.sizes['multigram']} with enough completions "
        f"among {table.attrs['known']} at the early snapshot, on {table.attrs['tokens']:,} of the {WANTED:,} "
        "held-out tokens that are asked"
    )


FINDERS = {CLAIM: find}
