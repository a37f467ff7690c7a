"""Learning coefficients of any restriction that is no single head: unions of heads, layers, embeddings, parameters."""

import xarray as xr

from experiments.measurements.rllc import KERNELS, named, sampling_loss
from experiments.measurements.rllc import key_parts as of_rllc
from experiments.results import pass_time
from experiments.results.cells import Cells
from experiments.results.inputs import Inputs
from experiments.results.kind import Kind, Parameters, sampled_checkpoints
from experiments.results.plan import VARIATE
from llc import engine
from llc.diagnose import health
from llc.estimate import VERSION


def measure(inputs: Inputs, step: int, cells: Cells, restriction: str) -> xr.Dataset:
    """value, se and the health record, on the train split of the plan's corpus; the weights are those of training."""
    plan = inputs.plan
    traces = engine.sample(
        inputs.model_here(step),
        inputs.sampled,
        [restriction],
        settings=plan.llc,
        seed=plan.seed,
        loss=sampling_loss(inputs, step),
        kernel=KERNELS[plan.sampler.removesuffix(VARIATE)],
        control_variate=plan.sampler.endswith(VARIATE),
    )
    return health(traces[restriction]).drop_dims("bound")  # computed from the rest wherever intervals are shown


def label(inputs: Inputs, parameters: Parameters) -> str:
    """The restriction, the text and the settings."""
    return f"LLC of {parameters['restriction']}, {inputs.plan.corpus}, {named(inputs.plan.llc)}"


def seconds(inputs: Inputs, parameters: Parameters) -> float:
    """Rough seconds: a gradient through the whole model for every row of every minibatch."""
    llc = inputs.plan.llc
    return pass_time.seconds(inputs, 5.0 * llc.num_chains * llc.num_draws * llc.batch_size)


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
