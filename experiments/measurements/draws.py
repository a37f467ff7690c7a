"""Refined learning coefficients of heads from independent draws, where `rllc` samples them by chains.

At the papers' settings the loss hardly influences the posterior, so that draws of plain noise and an expansion say the
same, several times faster for the same error (llc/independent.py): eight seeds at twenty checkpoints are sampled so.
"""

import warnings

import xarray as xr

from ablations.names import parse_head
from experiments.measurements.labels import heads_by_layer
from experiments.measurements.rllc import described, in_gauge, key_parts, sampling_loss
from experiments.results import pass_time
from experiments.results.cells import Cells
from experiments.results.committed import without_traces
from experiments.results.inputs import Inputs
from experiments.results.kind import Kind, Parameters, sampled_checkpoints
from llc import engine, leimkuhler_matthews
from llc.diagnose import health
from llc.estimate import VERSION
from llc.independent import FEWEST, RISES_PER_TRIPLE, independent_draws
from llc.intervals import half_width, with_half_widths

PAIRS = 100  # of draws, each pair on a row of its own


def measure(inputs: Inputs, step: int, cells: Cells, restrictions: list[str]) -> dict[str, xr.Dataset]:
    """What `llc.independent_draws` says of heads of one layer: value, noise_value (of plain noise), tilt, third, each
    with its se, and half_width and noise_half_width (of 95% intervals). The same rows and draws at every checkpoint, so
    that changes are told better than values.

    Where the loss changes the posterior too much for draws, value is that of chains by the method of Leimkuhler and
    Matthews, whose stationary law is the same but for the square of the step; by_chains says so.
    """
    model = in_gauge(inputs, step, parse_head(restrictions[0])[0])
    settings, seed, loss = inputs.plan.llc, inputs.plan.seed, sampling_loss(inputs, step)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what is refused, which chains measure
        drawn = independent_draws(
            model, inputs.sampled, restrictions, settings=settings, seed=seed, loss=loss, draws=PAIRS
        )
    found = {name: _kept(drawn[name]) for name in restrictions}
    refused = [name for name in restrictions if "refused" in drawn[name].attrs]
    if refused:
        traces = engine.sample(
            model, inputs.sampled, refused, settings=settings, seed=seed, loss=loss, kernel=leimkuhler_matthews
        )
        found |= {name: _by_chains(found[name], traces[name]) for name in refused}
    return found


def _kept(drawn: xr.Dataset) -> xr.Dataset:
    low, high = drawn.interval.values
    noise = half_width(drawn.noise_se, PAIRS - 1)
    return drawn.drop_dims("bound").assign(half_width=(high - low) / 2, noise_half_width=noise, by_chains=False)


def _by_chains(drawn: xr.Dataset, trace: xr.Dataset) -> xr.Dataset:
    """What draws said, with the coefficient of chains in place of theirs."""
    sampled = with_half_widths(health(trace))
    return drawn.assign(value=sampled.value, se=sampled.se, half_width=sampled.half_width, by_chains=True)


def of_plan(inputs: Inputs, step: int | None) -> dict:
    """What the cells depend on besides: gauge and reference model, and the number of draws."""
    return key_parts(inputs, step) | {"pairs": PAIRS}


def seconds(inputs: Inputs, parameters: Parameters) -> float:
    """Rough seconds: two forward passes for each pair, and two gradients for each of a few triples of rows."""
    heads = [parse_head(name) for name in parameters["restrictions"]]
    rows = 2 * PAIRS + 6 * 3 * max(FEWEST, PAIRS // RISES_PER_TRIPLE)
    return pass_time.seconds(inputs, len(heads) * rows * pass_time.rerun(inputs.run.model_config(), heads[0][0]))


def label(inputs: Inputs, parameters: Parameters) -> str:
    """The kind, the heads, and what of the plan a person tells sweeps apart by."""
    return described("draws", inputs, parameters)


DRAWS = Kind(
    "draws",
    (1, VERSION),
    measure,
    splits=("train",),
    steps=sampled_checkpoints,
    plan_fields=("sampled_rows", "llc", "seed"),
    seconds=seconds,
    label=label,
    also=of_plan,
    groups=heads_by_layer,
    keeps=without_traces,
)
