"""Calibration of a head's rLLC: the cells of a sweep over settings, and what they say."""

from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

import xarray as xr

from ablations.names import Head, head_name
from experiments.jobs.job import Job
from experiments.results.cells import Cells, llc_key, rllc_task
from experiments.storage import store
from llc import calibrate
from llc.calibrate import Recommendation
from llc.settings import Settings

LRS, LOCALIZATIONS, NBETAS = (3e-4, 1e-3), (60.0, 200.0, 600.0), (10.0, 30.0, 100.0, 300.0, 1000.0)


class Calibration(NamedTuple):
    """One head's sweep (`llc.calibrate.table`), and the setting it speaks for."""

    head: Head
    sweep: xr.Dataset
    recommendation: Recommendation


def tasks(cells: Cells, step: int, heads: Iterable[Head], settings: Iterable[Settings]) -> list[Job]:
    """All estimates that are missing: one job for a setting and the heads of a layer."""
    by_layer: dict[int, list[Head]] = {}
    for head in heads:
        by_layer.setdefault(head[0], []).append(head)
    found = []
    for one in settings:
        plan = replace(cells.plan, llc=one)
        on = replace(cells, plan=plan).on
        for of_layer in by_layer.values():
            missing = [h for h in of_layer if store.read(cells.folder, llc_key(on, step, h)) is None]
            if missing:
                found.append(rllc_task(replace(cells, plan=plan), step, missing))
    return found


def calibration(cells: Cells, step: int, head: Head, settings: list[Settings]) -> Calibration:
    """The sweep of a head, from its cells; raises ValueError for one that was not computed."""
    records = []
    for one in settings:
        on = replace(cells, plan=replace(cells.plan, llc=one)).on
        record = store.read(cells.folder, llc_key(on, step, head))
        if record is None:
            raise ValueError(f"{head_name(head)}: the sweep is not complete; run its tasks first")
        records.append(record.drop_vars([n for n in record.variables if str(n).startswith("trace_") or n == "check"]))
    table = calibrate.table(settings, records)
    base = replace(settings[0], localization=cells.plan.llc.localization, num_burnin=cells.plan.llc.num_burnin)
    kept = settings[0].num_draws - settings[0].num_burnin
    return Calibration(head, table, calibrate.recommend(table, replace(base, num_draws=base.num_burnin + kept)))
