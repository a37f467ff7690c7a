"""Every way in which an estimate can be wrong is named in words, and a right one is trusted."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr

from llc import closed_form, engine, leimkuhler_matthews, losses, sgld
from llc.chains import sample, sample_function
from llc.diagnose import health
from llc.restrict import parse
from llc.settings import Settings
from tests.conftest import make_model
from tests.llc.conftest import quadratic_trace, settings

CURVATURES = np.geomspace(0.3, 30, 40)
GOOD = settings(lr=4e-4, num_draws=1500, num_burnin=200)


def verdict(trace: xr.Dataset) -> tuple[str, str]:
    found = health(trace)
    return str(found.verdict.values), str(found.advice.values)


def test_a_good_estimate_is_trusted() -> None:
    assert verdict(quadratic_trace(CURVATURES, GOOD)) == ("trust", "")
    assert verdict(quadratic_trace(CURVATURES, GOOD, noise=0.05))[0] == "trust"


SICK = {
    "diverged": (GOOD, {"lr": 5e-3}, "4 of 4 chains diverged: lower lr"),
    "step too large": (GOOD, {"lr": 3e-3}, "heat the posterior by"),
    "step too small": (GOOD, {"lr": 1e-5}, "not stationary, virial ratio 0.*: the step is too small"),
    "burn-in too short": (GOOD, {"num_draws": 100, "num_burnin": 5}, "burn-in too short"),
    "too few draws": (GOOD, {"num_draws": 206, "num_chains": 1}, "too few draws"),
}


@pytest.mark.parametrize(("start", "change", "words"), SICK.values(), ids=SICK)
def test_a_bad_setting_is_named(start: Settings, change: dict, words: str) -> None:
    import re

    found, advice = verdict(quadratic_trace(CURVATURES, replace(start, **change)))
    assert re.search(words, advice), advice
    assert found in ("caution", "do not trust")


def test_one_dead_chain_of_four_is_named_and_gives_no_number() -> None:
    trace = quadratic_trace(CURVATURES, GOOD)
    alive = xr.DataArray(np.ones((4, 1500), dtype=bool), dims=("chain", "draw"))
    alive[2, 300:] = False
    found = health(trace.assign(loss=trace.loss.where(alive)))
    assert "1 of 4 chains diverged" in str(found.advice.values)
    assert found.verdict == "do not trust"
    assert np.isnan(found.value)


def test_a_chain_stuck_at_the_center_is_named() -> None:
    trace = quadratic_trace(CURVATURES, GOOD)
    assert "never left the center" in verdict(trace.assign(distance=trace.distance * 0))[1]


def test_a_step_as_large_as_the_localization_allows_is_no_stuck_chain() -> None:
    """At lr = 2 / localization shared noise makes draws that depend on their neighbours alone."""
    chosen = settings(lr=1e-2, localization=200.0, num_draws=400, num_burnin=4)
    found = health(quadratic_trace(np.geomspace(0.01, 1, 40), chosen, kernel=leimkuhler_matthews))
    assert 0.5 < found.step_length < 1
    assert found.verdict == "trust", found.advice.item()
    exact = chosen.nbeta * np.geomspace(0.01, 1, 40)
    truth = float((exact / (exact + 200.0)).sum() / 2)
    assert abs(found.value - truth) < 4 * found.se


def test_minibatch_noise_that_heats_the_chain_is_named() -> None:
    found, advice = verdict(quadratic_trace(CURVATURES, GOOD, noise=3.0))
    assert "larger batch_size" in advice
    assert found == "do not trust"


STIFF = np.geomspace(3, 300, 20)  # a few directions, whose heat is lost among parameters that do not matter
FLAT = np.full(1000, 1e-9)
LONG = settings(lr=4e-5, localization=100.0, num_draws=5000, num_burnin=1500)


def test_excess_of_shared_noise_is_that_of_minibatches_alone() -> None:
    """At a step at which SGLD has a fifth too much."""
    chosen = replace(LONG, lr=2e-4)
    for noise in (0.0, 3.0):
        found = health(quadratic_trace(STIFF, chosen, noise=noise, kernel=leimkuhler_matthews))
        truth, of_new_noise = (
            closed_form.quadratic_excess(STIFF, chosen, gradient_variance=noise**2, sampler=sampler)
            for sampler in ("leimkuhler_matthews", "sgld")
        )
        assert abs(found.excess - truth) < 4 * found.excess_se
        assert found.excess_se < 0.05
        assert abs(found.excess - of_new_noise) > 4 * found.excess_se  # the control


@pytest.mark.parametrize(("lr", "noise"), [(4e-5, 0.0), (2e-4, 0.0), (4e-5, 3.0)])
def test_excess_is_that_of_the_exact_law(lr: float, noise: float) -> None:
    chosen = replace(LONG, lr=lr)
    found = health(quadratic_trace(STIFF, chosen, noise=noise))
    truth = closed_form.quadratic_excess(STIFF, chosen, gradient_variance=noise**2)
    assert abs(found.excess - truth) < 4 * found.excess_se
    assert found.excess_se < 0.2 * truth
    others = [replace(chosen, lr=lr * factor) for factor in (1 / 3, 2)]
    wrong = [closed_form.quadratic_excess(STIFF, other, gradient_variance=noise**2) for other in others]
    assert all(abs(found.excess - other) > 4 * found.excess_se for other in wrong)  # the control


def test_heat_that_only_the_coefficient_feels_is_named_and_a_control_variate_removes_it() -> None:
    """The temperature, over all parameters, does not show it; the chain without the noise is the control."""
    curvatures = np.concatenate([STIFF, FLAT])
    heated, cooled = (
        quadratic_trace(curvatures, LONG, noise=8.0 * (curvatures > 1), control_variate=variate)
        for variate in (False, True)
    )
    found, control = health(heated), health(cooled)
    truth = closed_form.quadratic(curvatures, LONG)
    assert found.value > 1.05 * truth
    assert found.temperature < 1.03
    assert abs(found.virial - 1) < 0.02
    assert "of the value may come of step and minibatch noise" in str(found.advice.values)
    assert found.verdict != "trust"
    assert abs(control.value - truth) < 4 * control.se
    assert control.verdict == "trust", control.advice


def test_a_step_that_is_too_large_for_the_coefficient_alone_is_named() -> None:
    curvatures, chosen = np.concatenate([STIFF, FLAT]), replace(LONG, lr=2e-4)
    found, finer = health(quadratic_trace(curvatures, chosen)), health(quadratic_trace(curvatures, LONG))
    assert found.value > 1.05 * finer.value
    assert found.temperature < 1.03
    assert "lower lr" in str(found.advice.values)
    assert finer.verdict == "trust", finer.advice


def test_a_center_far_from_a_minimum_is_named() -> None:
    def loss(positions: torch.Tensor, batch: torch.Tensor | None) -> torch.Tensor:
        return 10 * (positions - 1).square().sum(1)

    center = torch.zeros(40, dtype=torch.float64)
    found, advice = verdict(sample_function(loss, center, settings=GOOD, seed=0))
    assert "below the center's loss" in advice
    assert found == "caution"


def test_a_sampler_that_does_not_do_what_it_says_is_betrayed_by_the_key_biases() -> None:
    model, chosen = make_model(1), settings(batch_size=4, num_chains=2, num_draws=120, num_burnin=40)
    tokens = torch.randint(50, (9, 12), generator=torch.Generator().manual_seed(2))
    trace = engine.sample(model, tokens, ["L1H0"], settings=chosen, seed=0)["L1H0"]
    found = health(trace)
    assert abs(found.key_bias_z) < 4
    assert abs(found.key_bias - 1) < 0.5
    for wrong in (trace.assign(key_bias=2 * trace.key_bias), trace.assign(key_bias=trace.key_bias / 2)):
        assert "does not do what its settings say" in verdict(wrong)[1]
    assert np.isnan(health(quadratic_trace(CURVATURES, GOOD)).key_bias_z)


@pytest.mark.parametrize(("kernel", "other"), [(sgld, "leimkuhler_matthews"), (leimkuhler_matthews, "sgld")])
def test_key_bias_scores_are_standard_normal(kernel, other: str) -> None:
    """Over many heads and seeds, without burn-in: the law holds at every draw, and that of the other sampler does not,
    at a step that makes them differ.
    """
    model, chosen = make_model(1), settings(lr=6e-3, batch_size=2, num_chains=2, num_draws=40, num_burnin=4)
    tokens = torch.randint(50, (9, 8), generator=torch.Generator().manual_seed(2))
    heads = ["L1H0", "L1H1", "L1H2"]
    traces = [
        trace
        for seed in range(12)
        for trace in engine.sample(model, tokens, heads, settings=chosen, seed=seed, kernel=kernel).values()
    ]
    scores = [float(health(trace).key_bias_z) for trace in traces]
    assert abs(np.mean(scores)) < 4 / np.sqrt(len(scores))
    assert 0.6 < np.std(scores) < 1.5
    wrong = [float(health(trace.assign_attrs(kernel=other)).key_bias_z) for trace in traces]
    assert abs(np.mean(wrong)) > 4 / np.sqrt(len(wrong))


def test_kappa_and_noise_on_quadratics() -> None:
    """Both ends: a loss that the posterior feels (plateau), and one too flat for it (noise sensitivity)."""
    for curvatures, regime in ((np.full(60, 100.0), "plateau"), (np.full(60, 0.1), "noise sensitivity")):
        chosen = settings(lr=1e-4, localization=200.0, num_draws=6000, num_burnin=600)
        found = health(quadratic_trace(curvatures, chosen))
        truth = closed_form.quadratic_kappa(curvatures, chosen)
        assert abs(found.kappa - truth) < 4 * found.kappa_se
        assert found.kappa_se < 0.1
        assert abs(found.kappa - (1 - truth)) > 4 * found.kappa_se  # the control
        assert found.regime == regime
        noise = chosen.nbeta * curvatures.sum() / (2 * chosen.localization)
        assert abs(found.noise_value - noise) < 4 * found.noise_se
        assert found.noise_se < 0.02 * noise


def test_minibatch_noise_does_not_enter_kappa() -> None:
    curvatures, chosen = np.full(60, 30.0), settings(lr=1e-4, num_draws=6000, num_burnin=600)
    found = health(quadratic_trace(curvatures, chosen, noise=1.0))
    assert abs(found.kappa - closed_form.quadratic_kappa(curvatures, chosen)) < 4 * found.kappa_se
    assert found.kappa_se < 0.15


def test_acceptance_is_metropolis_own() -> None:
    """The check of an SGLD step agrees with what MALA does at the same step; a larger step is accepted less."""
    from llc import mala

    curvatures = np.full(5, 30.0)
    checked = health(quadratic_trace(curvatures, settings(lr=3e-4, num_draws=4000))).acceptance
    adjusted = health(quadratic_trace(curvatures, settings(lr=3e-4, num_draws=4000), kernel=mala)).acceptance
    assert float(checked) == pytest.approx(float(adjusted), abs=0.02)
    assert health(quadratic_trace(curvatures, settings(num_draws=4000))).acceptance < checked - 0.05


def test_a_reference_loss_may_be_negative_and_says_so() -> None:
    model, tokens = make_model(1), torch.randint(50, (9, 12), generator=torch.Generator().manual_seed(2))
    weights = {name: parameter.detach() for name, parameter in model.named_parameters()}
    downhill = losses.function("anything", lambda predictions, batch: predictions[..., 0].mean())
    trace = sample(
        model,
        tokens,
        parse("unembed", weights, model.cfg),
        loss=downhill,
        settings=settings(batch_size=4, num_chains=2, num_draws=200, nbeta=100.0),
        seed=0,
    )
    found = health(trace)
    assert found.value + 4 * found.se < 0
    assert "may be negative" in str(found.advice.values)
