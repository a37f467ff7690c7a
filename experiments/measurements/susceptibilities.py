"""Susceptibilities of every head to held-out tokens, with what noise alone gives beside them.

What noise gives comes from derivatives, what the loss adds from chains at the plan's nbeta and at 0 with the same noise
(llc/noise_susceptibility.py). The chains have the plan's nbeta and localization, but draws that soon forget each other,
on which the errors of covariances rest.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, replace

import numpy as np
import xarray as xr
from jaxtyping import Float, Shaped
from scipy import stats

from ablations.names import parse_head
from circuits import token_classes
from experiments.corpora.corpus import Corpus
from experiments.measurements.labels import heads_by_layer
from experiments.results import pass_time
from experiments.results.cells import Cells
from experiments.results.inputs import Inputs
from experiments.results.kind import Kind, Parameters
from experiments.results.plan import Plan, evenly_chosen
from experiments.runs.run import Run
from llc import Probes, Settings, engine, leimkuhler_matthews
from llc.estimate import VERSION
from llc.noise_susceptibility import noise_susceptibilities, with_chains

TOKENS = 8160  # probes: tokens of the free held-out text, or all where there are fewer
DRAWS = 32  # of the derivatives, half of them for each half
CHAINS, EVALUATED = 8, 8  # and evaluated draws of each
CHECKPOINTS = 5  # of a run, for the map over training
STEP, FORGOTTEN = 0.5, 6  # lr nbeta at most; burn-in, in times in which a flat direction forgets


def probe_rows(inputs: Inputs) -> Corpus:
    """The rows that hold the probes."""
    return inputs.free_rows(min(TOKENS, inputs.free_tokens))


def probe_classes(inputs: Inputs) -> Shaped[np.ndarray, " token"]:
    """What each probe looks like, by the names of `token_classes`."""
    rows = probe_rows(inputs)
    vocabulary = [rows.tokenizer.decode([token]) for token in range(inputs.d_vocab)]
    classes = token_classes.of_tokens(np.asarray(rows.tokens).astype(np.int64), vocabulary)
    return np.array(token_classes.CLASSES)[classes[:, 1:].ravel()]


def settings_of(plan_settings: Settings) -> Settings:
    """Chains at the same nbeta and localization whose step is as large as shared noise allows at both."""
    gamma, nbeta = max(plan_settings.localization, 1.0), plan_settings.nbeta
    lr = min(1 / gamma, STEP / nbeta) if nbeta else 1 / gamma
    forget = 1 / (gamma * lr)  # draws in which a flat direction forgets
    burn_in = math.ceil(FORGOTTEN * forget)
    return Settings(
        f"{plan_settings.name}, susceptibilities",
        lr=lr,
        nbeta=nbeta,
        localization=plan_settings.localization,
        batch_size=max(plan_settings.batch_size, 4),
        num_chains=CHAINS,
        num_draws=burn_in + EVALUATED * max(2, math.ceil(2 * forget)),
        num_burnin=burn_in,
    )


def map_checkpoints(run: Run, plan: Plan) -> list[int]:
    """The steps at which maps of tokens are drawn: a few, the last among them."""
    return evenly_chosen(run.steps, CHECKPOINTS)


def measure(inputs: Inputs, step: int, cells: Cells, restrictions: list[str]) -> dict[str, xr.Dataset]:
    """For heads of one layer: value and half_width (of the 95% interval), noise and noise_half_width (nbeta 0), each
    [probe_row, predicted] in nats^2; half and noise_half [part, ...], from one half of the chains and draws and from
    the other. Negative: the head expresses the token; positive: it suppresses it.
    """
    model, settings, seed = inputs.model_here(step), settings_of(inputs.plan.llc), inputs.plan.seed
    text = probe_rows(inputs).batch(slice(None))
    every = (settings.num_draws - settings.num_burnin) // EVALUATED
    traces, controls = (
        engine.sample(
            model,
            inputs.sampled,
            restrictions,
            settings=replace(settings, nbeta=nbeta),
            seed=seed,
            kernel=leimkuhler_matthews,
            probes=Probes(text, every),
        )
        for nbeta in (settings.nbeta, 0.0)
    )
    halves = [
        noise_susceptibilities(model, restrictions, Probes(text), settings=settings, seed=part, draws=DRAWS // 2)
        for part in (2 * seed, 2 * seed + 1)
    ]
    return {name: _of_head(traces[name], controls[name], [half[name] for half in halves]) for name in restrictions}


def _of_head(trace: xr.Dataset, control: xr.Dataset, noise_halves: Sequence[xr.Dataset]) -> xr.Dataset:
    noise, middle = _both(*noise_halves), trace.sizes["chain"] // 2
    whole = with_chains(noise, trace, control)
    parts = [
        with_chains(half, trace.isel(chain=chosen), control.isel(chain=chosen)).value
        for half, chosen in zip(noise_halves, (slice(0, middle), slice(middle, None)), strict=True)
    ]
    found = {
        "value": whole.value,
        "half_width": whole.half_width,
        "half": xr.concat(parts, "part"),
        "noise": noise.value,
        "noise_half_width": noise.half_width,
        "noise_half": xr.concat([half.value for half in noise_halves], "part"),
    }
    return xr.Dataset({name: values.astype(np.float32) for name, values in found.items()})


def _both(first: xr.Dataset, second: xr.Dataset) -> xr.Dataset:
    """What independent halves say together; the half widths are a little too large, as each knows its draws alone."""
    width = {name: np.hypot(first[name], second[name]) / 2 for name in ("se", "half_width")}
    return xr.Dataset({"value": (first.value + second.value) / 2, **width})


def by_head(values: xr.DataArray) -> Float[np.ndarray, "restriction token"]:
    """Some of a table's values at one checkpoint, head by head, in double precision."""
    return values.transpose("restriction", "probe_row", "predicted").values.reshape(len(values.restriction), -1) * 1.0


def rank_correlations(
    one: Float[np.ndarray, "restriction token"], other: Float[np.ndarray, "restriction token"]
) -> Float[np.ndarray, " restriction"]:
    """Spearman's correlation over tokens, head by head."""
    return np.array([stats.spearmanr(a, b).statistic for a, b in zip(one, other, strict=True)])


def key_parts(inputs: Inputs, step: int | None) -> dict:
    """What the cells depend on besides: the chains, the derivatives, and how many probes there are."""
    return {"chains": asdict(settings_of(inputs.plan.llc)), "draws": DRAWS, "probes": TOKENS}


def seconds(inputs: Inputs, parameters: Parameters) -> float:
    """Rough seconds of the heads of one layer: gradients along both chains and at each draw of the derivatives, and a
    forward pass over all probes wherever these are evaluated.
    """
    heads, settings = [parse_head(name) for name in parameters["restrictions"]], settings_of(inputs.plan.llc)
    probes = min(TOKENS, inputs.free_tokens) / inputs.n_ctx
    chain = settings.num_draws * settings.batch_size * 4 + EVALUATED * probes
    rows = len(heads) * (2 * settings.num_chains * chain + DRAWS * 6 * probes)
    return pass_time.seconds(inputs, rows * pass_time.rerun(inputs.run.model_config(), heads[0][0]))


def label(inputs: Inputs, parameters: Parameters) -> str:
    """The kind, the heads, the text and the inverse temperature."""
    heads, plan = " ".join(parameters["restrictions"]), inputs.plan
    return f"susceptibilities, {heads}, {plan.corpus}, nbeta {plan.llc.nbeta:g}"


SUSCEPTIBILITIES = Kind(
    "susceptibilities",
    (1, VERSION),
    measure,
    splits=("train", "test"),
    steps=map_checkpoints,
    plan_fields=("sampled_rows", "text_rows", "reference_rows", "seed"),
    seconds=seconds,
    label=label,
    also=key_parts,
    groups=heads_by_layer,
)
