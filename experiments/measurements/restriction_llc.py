"""Learning coefficients of any restriction that is no single head: unions of heads, layers, embeddings, parameters."""

import xarray as xr

from experiments.measurements.full_llc import seconds
from experiments.measurements.rllc import key_parts as of_rllc
from experiments.measurements.rllc import named, sampled
from experiments.results.cells import Cells
from experiments.results.inputs import Inputs
from experiments.results.kind import Kind, Parameters, sampled_checkpoints
from llc.diagnose import health
from llc.estimate import VERSION


def measure(inputs: Inputs, step: int, cells: Cells, restriction: str) -> xr.Dataset:
    """value, se and the health record, on the train split of the plan's corpus; the weights are those of training."""
    traces = sampled(inputs, step, inputs.model_here(step), [restriction])
    return health(traces[restriction]).drop_dims("bound")  # computed from the rest wherever intervals are shown


def label(inputs: Inputs, parameters: Parameters) -> str:
    """The restriction, the text and the settings."""
    return f"LLC of {parameters['restriction']}, {inputs.plan.corpus}, {named(inputs.plan.llc)}"


RESTRICTION_LLC = Kind(
    "restriction_llc",
    (1, VERSION),
    measure,
    splits=("train",),
    steps=sampled_checkpoints,
    plan_fields=("sampled_rows", "llc", "seed"),
    seconds=seconds,
    label=label,
    also=of_rllc,
)
