"""The learning coefficient of the whole model: every parameter varies."""

import xarray as xr

from experiments.measurements.rllc import named
from experiments.results import pass_time
from experiments.results.cells import Cells
from experiments.results.committed import without_traces
from experiments.results.inputs import Inputs
from experiments.results.kind import Kind, Parameters, sampled_checkpoints
from llc import engine
from llc.diagnose import health
from llc.estimate import VERSION


def measure(inputs: Inputs, step: int, cells: Cells) -> xr.Dataset:
    """value, se and the health record, on the train split of the plan's corpus (data-refined where it is another)."""
    model = inputs.model_here(step)
    trace = engine.sample(model, inputs.sampled, ["full"], settings=inputs.plan.llc, seed=inputs.plan.seed)["full"]
    return health(trace).drop_dims("bound")  # computed from the rest wherever intervals are shown


def label(inputs: Inputs, parameters: Parameters) -> str:
    """The kind, the text and the settings."""
    return f"full, {inputs.plan.corpus}, {named(inputs.plan.llc)}"


def seconds(inputs: Inputs, parameters: Parameters) -> float:
    """Rough seconds: a gradient of all weights for every row of every minibatch."""
    llc = inputs.plan.llc
    return pass_time.seconds(inputs, 5.0 * llc.num_chains * llc.num_draws * llc.batch_size)


FULL_LLC = Kind(
    "full",
    (6, VERSION),
    measure,
    splits=("train",),
    steps=sampled_checkpoints,
    plan_fields=("sampled_rows", "llc", "seed"),
    seconds=seconds,
    label=label,
    keeps=without_traces,
)
