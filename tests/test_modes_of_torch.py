"""Every public entry gives the same under the modes that a notebook may have set, and takes half precision or says
what to do.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
import torch
import xarray as xr

import ablations
import circuits
import experiments
import llc
from ablations import changed_losses, forward, heads, running, substitutes
from ablations.models import Model
from circuits import composition, copying, scores
from circuits import discover as discovery
from experiments.measurements.composition import COMPOSITION
from llc import fisher_trace, hessian_trace, losses, quadrature
from tests.conftest import make_model

TOKENS = torch.randint(50, (4, 12), generator=torch.Generator().manual_seed(1))
TASK = circuits.Task("test", TOKENS, TOKENS.flip(0), TOKENS[:, 0], TOKENS[:, 1])
PATHS = [ablations.parse_path(text) for text in ("embed->L0H0.v", "L0H1->L1H1.k", "L1H0->output")]
SHORT = replace(llc.QUICK, num_draws=12, num_burnin=2)
TRACE = llc.sample(make_model(), TOKENS, ["L0H0"], settings=SHORT, seed=0)["L0H0"]
Call = Callable[[Model, torch.Tensor], object]


def sampled(what: str = "L0H0", **more: object) -> Call:
    return lambda model, tokens: llc.sample(model, tokens, [what], settings=SHORT, seed=0, **more)[what].loss  # type: ignore[arg-type]


def task_of(tokens: torch.Tensor) -> circuits.Task:
    return circuits.Task("made here", tokens, tokens.flip(0), tokens[:, 0], tokens[:, 1])


def of_weights(function: Callable) -> Call:
    return lambda model, tokens: function(forward.weights_of(model), model.cfg)


def found(model: Model) -> nx.DiGraph:
    effects = circuits.path_effects(model, TASK, PATHS)
    return circuits.circuit_graph(model.cfg, effects, circuits.significant(effects.p, 0.9))


FACE: dict[str, Call] = {
    "llc.sample": sampled(),
    "llc.independent_draws": lambda model, tokens: (
        llc.independent_draws(model, tokens, "L0H1", settings=SHORT, seed=0, draws=8)["L0H1"].noise_value
    ),
    "llc.health": lambda model, tokens: llc.health(TRACE).value,
    "llc.learning_coefficient": lambda model, tokens: llc.learning_coefficient(TRACE).value,
    "llc.next_token": sampled("L0", loss=llc.next_token()),
    "llc.kl_to": lambda model, tokens: sampled(loss=llc.kl_to(model))(model, tokens),
    "llc.weighted": sampled(loss=llc.weighted(torch.ones(4, 11, dtype=torch.float32), "ones")),
    "llc.Probes": lambda model, tokens: (
        llc.sample(model, tokens, ["L0H1"], settings=SHORT, seed=0, probes=llc.Probes(tokens, 1))["L0H1"].probe_rise
    ),
    "llc.sgld": sampled(kernel=llc.sgld),
    "llc.leimkuhler_matthews": sampled(kernel=llc.leimkuhler_matthews),
    "llc.rmsprop": sampled(kernel=llc.rmsprop),
    "llc.mala": sampled(kernel=llc.mala),
    "llc.calibrate": lambda model, tokens: (
        llc.calibrate.sweep(
            lambda one: llc.sample(model, tokens, ["L0H0"], settings=one, seed=0)["L0H0"],
            [replace(SHORT, nbeta=0.0), SHORT],
        ).value
    ),
    "llc.balanced": lambda model, tokens: llc.balanced(model, tokens, 1).W_Q,
    "llc.sample_function": lambda model, tokens: (
        llc.sample_function(
            lambda x, batch: (x**2).sum(1), torch.zeros(2, dtype=torch.float32), settings=SHORT, seed=0
        ).loss
    ),
    "ablations.ablate": lambda model, tokens: (
        ablations.ablate(model, tokens, ["L0H1", "L0H1->L1H2.k"], reference=tokens).effect
    ),
    "ablations.cut": lambda model, tokens: ablations.token_effects(model, tokens, ablations.cut(model, PATHS[1:])),
    "ablations.token_effects": lambda model, tokens: ablations.token_effects(model, tokens, heads.zero([(0, 1)])),
    "ablations.token_losses": lambda model, tokens: ablations.token_losses(model, tokens),
    "ablations.path_patching": lambda model, tokens: (
        ablations.path_patching(model, tokens, tokens.flip(0), [PATHS[1:2]], lambda logits: logits[:, -1, 3]).effect
    ),
    "ablations.Configuration": lambda model, tokens: len(ablations.Configuration.of(model.cfg).record()),
    "circuits.path_effects": lambda model, tokens: circuits.path_effects(model, TASK, PATHS).effect,
    "circuits.significant": lambda model, tokens: circuits.significant(np.array([0.01, 0.5])),
    "circuits.evaluate": of_weights(lambda w, cfg: circuits.evaluate(w, cfg, TASK, PATHS)[:2]),
    "circuits.logit_difference": lambda model, tokens: circuits.logit_difference(TASK, model(tokens)),
    "circuits.circuit_graph": lambda model, tokens: found(model).number_of_edges(),
    "circuits.found_part": lambda model, tokens: circuits.found_part(found(model)).number_of_edges(),
    "experiments.open_run": lambda model, tokens: experiments.open_run("mini-seed0").model(28_000).W_E,
}
# Of the face, what holds values or text, or is opened by the test of runs below.
VALUES = {
    *("llc.MINI", "llc.PAPER", "llc.QUICK", "llc.Kernel", "llc.Settings"),
    *("ablations.Ablated", "ablations.Change", "ablations.NotMeasurable", "ablations.Path", "ablations.head_name"),
    *("ablations.parse_change", "ablations.parse_head", "ablations.parse_path"),
    *("circuits.Evidence", "circuits.Plant", "circuits.Task", "circuits.head_type"),
    *(f"experiments.{name}" for name in ("Cells", "Corpus", "Inputs", "Investigation", "Kind", "Plan", "Run")),
    *("experiments.checkpoints", "experiments.default_plan", "experiments.load_corpus"),
}
FURTHER: dict[str, Call] = {
    "sample, general path": sampled("L0"),
    "fisher_trace": lambda model, tokens: fisher_trace.fisher_trace(model, tokens, ["L0H0"], seed=0)["L0H0"].value,
    "fisher_trace of all on the text's own labels": lambda model, tokens: (
        fisher_trace.fisher_trace(model, tokens, ["full"], seed=0, labels="data")["full"].value
    ),
    "hessian_trace": lambda model, tokens: hessian_trace.hessian_trace(model, tokens, ["L0H0"], seed=0)["L0H0"].value,
    "quadrature": lambda model, tokens: quadrature.stationary(
        lambda x, batch: (x**2).sum(1), torch.zeros(1, dtype=torch.float64), replace(SHORT, lr=1e-2), 1.0
    ),
    "ablate by hooks": lambda model, tokens: (
        ablations.ablate(model, tokens, ["L0H1"], method="resample", reference=tokens.flip(1), way="hooks").effect
    ),
    "path effects by hooks": lambda model, tokens: circuits.path_effects(model, TASK, PATHS, way="hooks").effect,
    "effects of a table": of_weights(
        lambda w, cfg: changed_losses.effects(
            w, cfg, TOKENS, [ablations.parse_change("L0H1")], lambda loss: loss.mean(1), substitutes.zeros(cfg)
        )
    ),
    "EAP": of_weights(lambda w, cfg: discovery.attribution(w, cfg, TASK, PATHS).effect),
    "EAP on prompts of one's own": lambda model, tokens: (
        discovery.attribution(forward.weights_of(model), model.cfg, task_of(tokens), PATHS).effect
    ),
    "random circuits": of_weights(lambda w, cfg: discovery.random_circuits(w, cfg, TASK, 2, 1).faithfulness),
    "composition": of_weights(lambda w, cfg: composition.composition(w, cfg)[0, :, 1]),
    "random baseline": lambda model, tokens: composition.random_baseline(model.cfg, 4).mean,
    "spectral baseline": of_weights(lambda w, cfg: composition.spectral_baseline(w, cfg)[1][0, :, 1]),
    "principal cosines": of_weights(lambda w, cfg: composition.principal_cosines(w, cfg)[0, :, 1]),
    "position composition": of_weights(composition.position_composition),
    "ov_copying": of_weights(scores.ov_copying),
    "copying": of_weights(lambda w, cfg: copying.copying(w, cfg, TOKENS)),
    "previous token": of_weights(
        lambda w, cfg: scores.over_rows(w, cfg, TOKENS, {"p": lambda seen, rows: scores.previous_token(seen)})[1]["p"]
    ),
    "prefix matching": of_weights(
        lambda w, cfg: scores.over_rows(w, cfg, TOKENS, {"p": lambda s, rows: scores.prefix_matching(s, 4)})[1]["p"]
    ),
}
EVERY = FACE | FURTHER
FIXED = {  # what the model's precision cannot change
    *("llc.health", "llc.learning_coefficient", "llc.sample_function", "quadrature", "random baseline"),
    *("circuits.significant", "experiments.open_run", "ablations.Configuration"),
}


def plain(value: object) -> np.ndarray:
    tensor = value.detach().double().numpy() if isinstance(value, torch.Tensor) else value
    return np.asarray(tensor.values if isinstance(tensor, xr.DataArray) else tensor, dtype=np.float64)


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@contextmanager
def both(first: AbstractContextManager, dtype: torch.dtype) -> Iterator[None]:
    with first, default_dtype(dtype):
        yield


MODES: dict[str, Callable] = {
    "no gradients, float64": lambda: both(torch.no_grad(), torch.float64),
    "inference mode, bfloat16": lambda: both(torch.inference_mode(), torch.bfloat16),
}
PRECISIONS = [(torch.bfloat16, "LNPre"), (torch.float16, "LN"), (torch.float64, "LNPre")]


def test_no_name_of_the_faces_is_left_out() -> None:
    promised = {f"{face.__name__}.{name}" for face in (ablations, circuits, experiments, llc) for name in face.__all__}
    assert promised == set(FACE) | VALUES
    assert not set(FACE) & VALUES


@pytest.fixture(scope="module")
def usual() -> dict[str, np.ndarray]:
    model = make_model()
    return {name: plain(call(model, TOKENS)) for name, call in EVERY.items()}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", EVERY)
def test_the_same_under_every_mode(name: str, mode: str, usual: dict[str, np.ndarray]) -> None:
    model = make_model()
    with MODES[mode]():
        before = torch.get_default_dtype(), torch.is_grad_enabled(), torch.is_inference_mode_enabled()
        value = plain(EVERY[name](model, TOKENS))
        assert before == (torch.get_default_dtype(), torch.is_grad_enabled(), torch.is_inference_mode_enabled())
    assert np.isfinite(value).all()
    np.testing.assert_allclose(value, usual[name], rtol=1e-4, atol=1e-5)


def test_a_model_and_tokens_made_in_inference_mode(usual: dict[str, np.ndarray]) -> None:
    with torch.inference_mode():
        model, tokens = make_model(), TOKENS.clone()
    sampling = ("llc.sample", "sample, general path", "ablations.ablate")
    gradients = {name for name in EVERY if name.startswith(("EAP", "fisher_trace", "hessian_trace"))}
    for name in (*sampling, *gradients):
        np.testing.assert_allclose(plain(EVERY[name](model, tokens)), usual[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("dtype", "norm"), PRECISIONS, ids=lambda value: str(value))
@pytest.mark.parametrize("name", sorted(set(EVERY) - FIXED))
def test_models_in_other_precisions(name: str, dtype: torch.dtype, norm: str) -> None:
    model = make_model(dtype=dtype, normalization_type=norm)
    try:
        value = EVERY[name](model, TOKENS)
    except ValueError as refusal:
        assert dtype != torch.float64
        assert "need float32, give model.to(torch.float32)" in str(refusal)
        assert "\n" not in str(refusal)
        value = EVERY[name](model.to(torch.float32), TOKENS)  # the remedy
    assert np.isfinite(plain(value)).all()


@pytest.mark.parametrize("mode", MODES)
def test_cells_are_measured_the_same(mode: str, tmp_path: Path) -> None:
    values = []
    for number, context in enumerate((nullcontext, MODES[mode])):
        with context():
            run = experiments.open_run("mini-seed0")
            cells = experiments.Cells(tmp_path / str(number), run, experiments.default_plan("python", 256))
            values.append(next(iter(cells.get(COMPOSITION, run.steps[-1]).data_vars.values())).values)
    np.testing.assert_array_equal(*values)


def test_modes_and_threads_are_restored_after_an_error() -> None:
    before = torch.get_num_threads()

    @running.as_in_workers()
    def fails() -> None:
        assert (torch.get_num_threads(), torch.is_grad_enabled()) == (running.THREADS, True)
        assert torch.get_default_dtype() == torch.float32
        raise ValueError("on purpose")

    torch.set_num_threads(2)
    with default_dtype(torch.float64), torch.no_grad():
        with pytest.raises(ValueError, match="on purpose"):
            fails()
        assert torch.get_num_threads() == 2
        assert not torch.is_grad_enabled()
        assert torch.get_default_dtype() == torch.float64
    torch.set_num_threads(before)


def test_sampling_takes_the_threads_of_the_workers() -> None:
    seen = []

    def value(predictions: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        seen.append(torch.get_num_threads())
        return predictions.square().mean()

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        sampled(loss=losses.function("recorded", value))(make_model(), TOKENS)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert set(seen) == {running.THREADS}
