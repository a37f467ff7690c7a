"""Claim 13: plateaus of the whole model's learning coefficient bound the stages that the scores show."""

from collections.abc import Callable

import numpy as np
import xarray as xr

from experiments.claims import stage_boundaries
from experiments.claims.stage_boundaries import Boundaries
from experiments.measurements.full_llc import FULL_LLC
from experiments.measurements.variants import at_few
from experiments.results.cells import Cells
from experiments.statistics.nearness import drawn_checkpoints
from experiments.statistics.turning_points import FEWEST, CriticalPoint, critical_points
from experiments.study.study import Study
from experiments.study.verdict import Claim, Finding

CLAIM = Claim(
    number=13,
    name="stages in the landscape",
    statement="plateaus of the whole model's learning coefficient bound the stages that the scores show",
    precondition="the coefficient at 20 checkpoints or more",
    criterion="its critical points are nearer to the onsets than by chance and than other seeds', p < 0.05 for both",
    figure="stages",
)
LEAST, DRAWS = 20, 2000


def find(study: Study) -> Finding:
    """Critical points of every judged run's smoothed coefficient, against the onsets of its scores.

    Raises NotMeasurable for too few checkpoints, before anything is sampled.
    """
    sampled = {cells.run.name: len(at_few(cells).steps(FULL_LLC)) for cells in study.judged}
    stage_boundaries.need(sampled, LEAST, "checkpoints at which the coefficient is sampled")
    onsets = stage_boundaries.onsets(study)
    used = [of_run(study, cells, own) for cells, own in zip(study.judged, onsets, strict=True)]
    return stage_boundaries.judge(CLAIM, used, name="critical points of the coefficient")


def of_run(study: Study, cells: Cells, onsets: np.ndarray) -> Boundaries:
    """The critical points of one run."""
    full = study.full_llc(cells)
    steps, found = full.step.values, np.array([point.step for point in turns(full)])
    by_chance = drawn_checkpoints(steps, len(found), draws=DRAWS) if len(found) else []
    return Boundaries(cells.run.name, steps, found, by_chance, onsets)


def turns(full: xr.Dataset) -> list[CriticalPoint]:
    """The critical points of a coefficient [step]; none where there are too few checkpoints to smooth, or a value is
    missing.
    """
    steps, values, errors = full.step.values, full["value"].values, full["se"].values
    usable = len(steps) >= FEWEST and np.isfinite(values).all() and np.isfinite(errors).all()
    return critical_points(steps, values, errors) if usable else []


FINDERS: dict[Claim, Callable[[Study], Finding]] = {CLAIM: find}
