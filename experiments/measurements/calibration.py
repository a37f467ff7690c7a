"""Calibration of a head's rLLC: the cells of a sweep over settings, and what they say."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import xarray as xr

from ablations.names import Head, head_name
from experiments.jobs.job import Job
from experiments.measurements.rllc import RLLC
from experiments.results.cells import Cells
from experiments.results.committed import without_traces
from llc import calibrate
from llc.calibrate import Recommendation
from llc.settings import Settings

LRS, LOCALIZATIONS, NBETAS = (3e-4, 1e-3), (60.0, 200.0, 600.0), (10.0, 30.0, 100.0, 300.0, 1000.0)


class Calibration(NamedTuple):
    """One head's sweep, and the setting that it speaks for, by sampler."""

    head: Head
    sweep: xr.Dataset  # that of `llc.calibrate.table`, [sampler, ...]
    recommendations: dict[str, Recommendation]


def missing(
    cells: Cells, step: int, heads: Iterable[Head], settings: Iterable[Settings], samplers: Iterable[str]
) -> list[Job]:
    """All estimates that are missing: one job for a sampler, a setting and the heads of a layer."""
    by_layer: dict[int, list[str]] = {}
    for head in heads:
        by_layer.setdefault(head[0], []).append(head_name(head))
    planned = [cells.planned(llc=one, sampler=sampler) for sampler in samplers for one in settings]
    asked = ((one, names) for one in planned for names in by_layer.values())
    return [job for one, names in asked for job in one.missing(RLLC, step, restrictions=names)]


def calibration(
    cells: Cells, step: int, head: Head, settings: Sequence[Settings], samplers: Sequence[str]
) -> Calibration:
    """The sweep of a head, from its cells; raises ValueError for one that was not computed."""
    base = replace(settings[0], localization=cells.plan.llc.localization, num_burnin=cells.plan.llc.num_burnin)
    kept = settings[0].num_draws - settings[0].num_burnin
    base = replace(base, num_draws=base.num_burnin + kept)
    tables = {sampler: table(cells.planned(sampler=sampler), step, head, settings) for sampler in samplers}
    sweep = xr.concat(tables.values(), xr.IndexVariable("sampler", list(tables)))
    return Calibration(head, sweep, {sampler: calibrate.recommend(one, base) for sampler, one in tables.items()})


def table(cells: Cells, step: int, head: Head, settings: Sequence[Settings]) -> xr.Dataset:
    """The table of a head's sweep (`llc.calibrate.table`) with the plan's sampler."""
    records = []
    for one in settings:
        record = cells.planned(llc=one).read(RLLC, step, restriction=head_name(head))
        if record is None:
            raise ValueError(f"{head_name(head)}: the sweep is not complete; run its jobs first")
        records.append(without_traces(record).drop_vars("check", errors="ignore"))
    return calibrate.table(list(settings), records)
