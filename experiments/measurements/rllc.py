"""Refined learning coefficients of heads: by weights, and by the plan's text and reference model."""

import xarray as xr

from ablations.models import Model
from ablations.names import parse_head
from experiments.jobs import device
from experiments.measurements.labels import heads_by_layer
from experiments.results import pass_time
from experiments.results.cells import Cells
from experiments.results.committed import without_traces
from experiments.results.inputs import Inputs
from experiments.results.kind import Kind, Parameters, sampled_checkpoints
from experiments.results.plan import SGLD, TRAINED, VARIATE
from experiments.results.reference import reference_run, reference_step
from experiments.runs.models import model_on
from llc import engine, gauge, leimkuhler_matthews, losses, sgld, standard_form
from llc.diagnose import health
from llc.estimate import VERSION
from llc.kernel import Kernel
from llc.settings import Settings

KERNELS: dict[str, Kernel] = {SGLD: sgld, "leimkuhler-matthews": leimkuhler_matthews}  # by what a plan calls them


def measure(inputs: Inputs, step: int, cells: Cells, restrictions: list[str]) -> dict[str, xr.Dataset]:
    """Refined LLCs of heads of one layer, with their health records and their traces (`trace_*`)."""
    traces = sampled(inputs, step, in_gauge(inputs, step, parse_head(restrictions[0])[0]), restrictions)
    return {name: _kept(traces[name]) for name in restrictions}


def sampled(inputs: Inputs, step: int, model: Model, restrictions: list[str]) -> dict[str, xr.Dataset]:
    """Traces of restrictions of a model of this step, sampled as the plan says."""
    return engine.sample(
        model,
        inputs.sampled,
        restrictions,
        settings=inputs.plan.llc,
        seed=inputs.plan.seed,
        loss=sampling_loss(inputs, step),
        kernel=KERNELS[inputs.plan.sampler.removesuffix(VARIATE)],
        control_variate=inputs.plan.sampler.endswith(VARIATE),
    )


def _kept(trace: xr.Dataset) -> xr.Dataset:
    """The health record and the trace, without intervals: `llc.intervals` computes them from the rest where they are
    shown, for what was measured before there were any too.
    """
    return health(trace).drop_dims("bound").merge(trace.rename({name: f"trace_{name}" for name in trace.data_vars}))


def sampling_loss(inputs: Inputs, step: int) -> losses.Loss:
    """The loss that chains at this step sample with: next token, or the divergence from the reference model."""
    if not inputs.plan.reference:
        return losses.next_token()
    chosen = reference_step(inputs, step)
    model = model_on(reference_run(inputs.run), chosen, device.own())
    return losses.kl_to(model, f"one layer, step {chosen}")


def key_parts(inputs: Inputs, step: int | None) -> dict:
    """What of gauge, sampler and reference model the cells depend on, where they are no default."""
    plan = inputs.plan
    parts: dict = {} if plan.gauge == TRAINED else {"gauge": plan.gauge}
    if plan.gauge == "balanced":
        text = inputs.run.corpus_fingerprint("train")  # on which the scale of the residual stream rests
        parts |= {"gauge_of": [text, standard_form.ROWS, gauge.VERSION]}
    if plan.sampler != SGLD:
        parts |= {"sampler": plan.sampler}
    if not plan.reference or step is None:
        return parts
    run = reference_run(inputs.run)
    weights = run.model_digest(reference_step(inputs, step))
    return parts | {"reference": {"weights": weights, "configuration": run.configuration.record()}}


def seconds(inputs: Inputs, parameters: Parameters) -> float:
    """Rough seconds of the chains of heads of one layer: a gradient of what runs again after it, for every row."""
    heads, settings = [parse_head(name) for name in parameters["restrictions"]], inputs.plan.llc
    rows = settings.num_chains * settings.num_draws * len(heads) * settings.batch_size
    return pass_time.seconds(inputs, 4.0 * rows * pass_time.rerun(inputs.run.model_config(), heads[0][0]))


def label(inputs: Inputs, parameters: Parameters) -> str:
    """The kind, the heads, and what of the plan a person tells sweeps apart by."""
    return described("rllc", inputs, parameters)


def described(kind: str, inputs: Inputs, parameters: Parameters) -> str:
    """The label of coefficients of heads, by this kind of measurement."""
    plan = inputs.plan
    reference = f"reference {plan.reference}" if plan.reference else ""
    parts = (f"{kind}, {' '.join(parameters['restrictions'])}", plan.corpus, named(plan.llc), reference)
    return ", ".join(part for part in parts if part) + plan.of_others


def named(settings: Settings) -> str:
    """Settings in words: their name and what they are."""
    return f"{settings.name} (lr {settings.lr:g}, localization {settings.localization:g}, nbeta {settings.nbeta:g})"


def in_gauge(inputs: Inputs, step: int, layer: int) -> Model:
    """The model of a step in the plan's gauge; the balanced one of a layer is the same whatever text is sampled on."""
    model, name = inputs.model_here(step), inputs.plan.gauge
    if name == TRAINED:
        return model
    if name == "balanced":
        return gauge.balanced(model, inputs.run.corpus("train").batch(slice(0, standard_form.ROWS)), layer)
    return _rescaled(model, name)


def _rescaled(model: Model, name: str) -> Model:
    return gauge.random_gauge(model, int(name.removeprefix("random ")))


RLLC = Kind(
    "rllc",
    (6, VERSION),
    measure,
    splits=("train",),
    steps=sampled_checkpoints,
    plan_fields=("sampled_rows", "llc", "seed"),
    seconds=seconds,
    label=label,
    also=key_parts,
    groups=heads_by_layer,
    keeps=without_traces,
)
