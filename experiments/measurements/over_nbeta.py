"""Every head's rLLC over nbeta at the last checkpoint, without and with a control variate, up to n / log n of the rows
that are sampled.
"""

from concurrent.futures import Executor
from dataclasses import replace

import numpy as np
import xarray as xr

from ablations.not_measurable import NotMeasurable
from experiments.jobs import runner
from experiments.measurements.rllc import RLLC
from experiments.measurements.variants import Sampled
from experiments.results.cells import Cells
from experiments.results.plan import SGLD, VARIATE, Plan
from llc.calibrate import grid, slopes
from llc.intervals import half_widths, noise_half_widths
from llc.settings import natural_nbeta

SAMPLERS = (SGLD, SGLD + VARIATE)
NBETAS, LR = (10.0, 30.0, 100.0), 3e-4  # below n / log n; a step that adds little at any of them


def plans(plan: Plan) -> list[list[Plan]]:
    """The plan of each [sampler, nbeta]."""
    nbetas = (*NBETAS, natural_nbeta(plan.sampled_rows))
    settings = grid(plan.llc, [LR], [plan.llc.localization], nbetas)[1:]  # the first is the control at nbeta 0
    return [[replace(plan, llc_checkpoints=1, llc=one, sampler=sampler) for one in settings] for sampler in SAMPLERS]


def tables(cells: Cells) -> list[Sampled]:
    """The tables of all samplers and nbetas, as parts of a sweep."""
    return [Sampled(replace(cells, plan=one), RLLC) for row in plans(cells.plan) for one in row]


def compute(cells: Cells, executor: Executor) -> None:
    """Samples what is missing."""
    runner.run([job for each in tables(cells) for job in each.missing()], executor, cells.run.name)


def table(cells: Cells) -> xr.Dataset:
    """value, noise (what noise alone gives, `noise_value`), half_width and noise_half_width (of their 95% intervals),
    slope and slope_se (d log value / d log nbeta from the next smaller nbeta; NaN at the smallest), each
    [sampler, nbeta, restriction]. Raises NotMeasurable where it is not sampled yet, which takes long.
    """
    if any(each.missing() for each in tables(cells)):
        raise NotMeasurable(f"rLLCs of {cells.run.name} over nbeta are not sampled yet, which takes minutes")
    asked = plans(cells.plan)
    rows = [[replace(cells, plan=one).table(RLLC).isel(step=-1) for one in row] for row in asked]
    value, se, noise = (
        np.array([[one[name] for one in row] for row in rows]) for name in ("value", "se", "noise_value")
    )
    half, noise_half = (np.array([[of(one) for one in row] for row in rows]) for of in (half_widths, noise_half_widths))
    nbetas, dims = np.array([one.llc.nbeta for one in asked[0]]), ("sampler", "nbeta", "restriction")
    slope, error = (
        np.moveaxis(part, -1, 1) for part in slopes(np.moveaxis(value, 1, -1), np.moveaxis(se, 1, -1), nbetas)
    )
    arrays = {"value": value, "half_width": half, "noise": noise, "noise_half_width": noise_half}
    arrays |= {"slope": slope, "slope_se": error}
    coords = {"sampler": list(SAMPLERS), "nbeta": nbetas, "restriction": rows[0][0].restriction.values}
    return xr.Dataset({name: (dims, array) for name, array in arrays.items()}, coords)
