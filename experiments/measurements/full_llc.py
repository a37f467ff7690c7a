"""The learning coefficient of the whole model: every parameter varies."""

import xarray as xr

from experiments.measurements import inputs as bench
from experiments.measurements.inputs import Bench
from llc import engine
from llc.diagnose import health


def measure_full(on: Bench, step: int) -> xr.Dataset:
    """value, se and the health record, on the train split of the plan's corpus (data-refined where it is another)."""
    model = bench.sampled_model(on.run.folder, step)
    trace = engine.sample(model, on.sampled, ["full"], settings=on.plan.llc, seed=on.plan.seed)["full"]
    return health(trace)
