"""Each sampler against the law it states: quadratics, quadrature in one and two dimensions, and each other."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr

from llc import closed_form, leimkuhler_matthews, mala, quadrature, rmsprop, sgld
from llc.chains import sample_function
from llc.diagnose import health
from llc.estimate import learning_coefficient
from llc.settings import Settings
from tests.llc.conftest import quadratic_trace, settings


def power(exponents: tuple[int, ...]):
    """prod_i w_i^(2 k_i)"""

    def loss(positions: torch.Tensor, batch: torch.Tensor | None) -> torch.Tensor:
        return torch.stack([positions[:, i] ** (2 * k) for i, k in enumerate(exponents)]).prod(0)

    return loss


def sampled(loss, dimension: int, chosen: Settings, kernel=sgld, data: torch.Tensor | None = None) -> xr.Dataset:
    center = torch.zeros(dimension, dtype=torch.float64)
    return sample_function(loss, center, settings=chosen, seed=0, kernel=kernel, data=data)


SINGULAR = settings(lr=0.02, nbeta=10.0, localization=4.0, num_chains=64, num_draws=2500, num_burnin=100)


@pytest.mark.parametrize("exponents", [(1,), (2,), (1, 1)])
def test_sgld_reaches_its_own_stationary_law(exponents: tuple[int, ...]) -> None:
    loss, center = power(exponents), torch.zeros(len(exponents), dtype=torch.float64)
    truth = quadrature.stationary(loss, center, SINGULAR, half_width=4.0)
    found = learning_coefficient(sampled(loss, len(exponents), SINGULAR))
    assert abs(found.value - truth) / found.se < 4
    assert found.se / truth < 0.02
    # negative control: the law at another temperature
    other = quadrature.stationary(loss, center, replace(SINGULAR, nbeta=15.0), half_width=4.0)
    assert abs(found.value - other) / found.se > 4


@pytest.mark.parametrize("exponents", [(2,), (1, 1)])
def test_mala_reaches_the_posterior_where_the_step_biases_sgld(exponents: tuple[int, ...]) -> None:
    loss, center = power(exponents), torch.zeros(len(exponents), dtype=torch.float64)
    chosen = replace(SINGULAR, lr=0.03)
    truth = quadrature.posterior(loss, center, chosen, half_width=4.0)
    found = learning_coefficient(sampled(loss, len(exponents), chosen, kernel=mala))
    assert abs(found.value - truth) / found.se < 4
    plain = learning_coefficient(sampled(loss, len(exponents), chosen))
    assert abs(plain.value - truth) / plain.se > 4  # the control: the same step, not adjusted


def test_quadrature_against_gamma_functions() -> None:
    """Without localization nbeta E[w^(2k)] = 1 / (2k) at any nbeta; with a normal prior, the chi-square law."""
    center = torch.zeros(1, dtype=torch.float64)
    flat = replace(SINGULAR, localization=1e-9, nbeta=40.0)
    assert quadrature.posterior(power((2,)), center, flat, half_width=3.0) == pytest.approx(0.25, rel=1e-6)
    assert quadrature.posterior(power((1,)), center, SINGULAR, half_width=3.0) == pytest.approx(10 / 24, rel=1e-6)
    exact = closed_form.quadratic(np.array([2.0]), SINGULAR)  # w^2 has curvature 2
    assert quadrature.stationary(power((1,)), center, SINGULAR, half_width=3.0) == pytest.approx(exact, rel=1e-6)
    with pytest.raises(ValueError, match="half_width"):
        quadrature.posterior(power((2,)), center, flat, half_width=0.1)
    with pytest.raises(ValueError, match="3 dimensions"):
        quadrature.posterior(power((1, 1, 1)), torch.zeros(3), flat, half_width=3.0)


@pytest.mark.slow
def test_sgld_and_mala_agree_on_a_deep_linear_network() -> None:
    """Below a hundred parameters MALA is the reference: a 2-2-2 network at its deepest point of rank 1."""
    target = torch.tensor([[1.0, 0.0], [0.0, 0.0]], dtype=torch.float64)
    center = torch.tensor([1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0], dtype=torch.float64)

    def loss(positions: torch.Tensor, batch: torch.Tensor | None) -> torch.Tensor:
        first, second = positions[:, :4].view(-1, 2, 2), positions[:, 4:].view(-1, 2, 2)
        return (second @ first - target).square().sum((1, 2))

    fine = settings(lr=1e-4, nbeta=100.0, localization=20.0, num_chains=128, num_draws=3000, num_burnin=1500)
    coarse = replace(fine, lr=4e-3, num_draws=1500, num_burnin=300)

    def estimate(chosen: Settings, kernel) -> tuple[float, float]:
        found = learning_coefficient(sample_function(loss, center, settings=chosen, seed=0, kernel=kernel))
        return float(found.value), float(found.se)

    (reference, reference_se), (value, se) = estimate(coarse, mala), estimate(fine, sgld)
    assert abs(value - reference) / np.hypot(se, reference_se) < 4
    other, other_se = estimate(replace(fine, nbeta=400.0), sgld)
    assert abs(other - reference) / np.hypot(other_se, reference_se) > 4


@pytest.mark.parametrize("noise", [0.0, 2.0])
def test_shared_noise_has_no_step_bias_on_a_quadratic(noise: float) -> None:
    """At a step at which SGLD has a fifth too much; what minibatches add stays, by its exact law."""
    curvatures, chosen = np.geomspace(1, 40, 30), settings(lr=1e-3, num_draws=4000)
    found = learning_coefficient(quadratic_trace(curvatures, chosen, noise=noise, kernel=leimkuhler_matthews))
    truth, of_new_noise = (
        closed_form.quadratic(curvatures, chosen, gradient_variance=noise**2, sampler=sampler)
        for sampler in ("leimkuhler_matthews", "sgld")
    )
    exact = float((chosen.nbeta * curvatures / (chosen.nbeta * curvatures + chosen.localization)).sum() / 2)
    assert truth == pytest.approx(exact) if not noise else truth > 1.02 * exact
    assert abs(found.value - truth) / found.se < 4
    plain = learning_coefficient(quadratic_trace(curvatures, chosen, noise=noise))
    assert abs(plain.value - of_new_noise) / plain.se < 4
    assert (plain.value - truth) / plain.se > 4  # the control


@pytest.mark.parametrize("exponents", [(2,), (1, 1)])
def test_shared_noise_has_a_smaller_step_bias_where_the_loss_is_no_quadratic(exponents: tuple[int, ...]) -> None:
    loss, center = power(exponents), torch.zeros(len(exponents), dtype=torch.float64)
    chosen = replace(SINGULAR, lr=0.03, num_draws=6000)
    truth = quadrature.posterior(loss, center, chosen, half_width=4.0)
    shared, new = (
        learning_coefficient(sampled(loss, len(exponents), chosen, kernel=kernel))
        for kernel in (leimkuhler_matthews, sgld)
    )
    assert abs(shared.value - truth) + 4 * shared.se < abs(new.value - truth) / 2


def test_frozen_rmsprop_targets_the_same_posterior() -> None:
    curvatures = np.geomspace(0.1, 10, 40)
    chosen = settings(lr=1e-4, localization=100.0, num_draws=9000, num_burnin=1000)
    truth = closed_form.quadratic(curvatures, replace(chosen, lr=1e-9))
    found = health(quadratic_trace(curvatures, chosen, noise=0.1, kernel=rmsprop))
    assert abs(found.value - truth) / found.se < 4
    assert abs(found.virial - 1) < 4 * found.virial_se
    for wrong in (closed_form.quadratic(curvatures, replace(chosen, nbeta=45.0, lr=1e-9)), 1.2 * truth):
        assert abs(found.value - wrong) / found.se > 4


def test_rmsprop_freezes_after_burnin_and_steps_further_where_gradients_are_small() -> None:
    chosen = settings(num_draws=20, num_burnin=10)
    state, scales = rmsprop.init(torch.zeros(2), 1), []
    for draw in range(20):
        gradient = torch.tensor([[10.0, 0.1 * (1 + draw)]])
        state, _ = rmsprop.update(
            state, lambda w, g=gradient: (torch.zeros(1), g), chosen, lambda size: torch.zeros(1, size)
        )
        scales.append(state.scale.clone())
    assert torch.equal(scales[9], scales[-1])
    assert not torch.equal(scales[8], scales[9])
    assert scales[-1][0, 1] > 2 * scales[-1][0, 0]
    assert scales[-1].mean() == pytest.approx(1)


@pytest.mark.parametrize("kernel", [sgld, leimkuhler_matthews, rmsprop, mala])
def test_the_virial_identity_holds_and_betrays_a_chain_that_has_not_arrived(kernel) -> None:
    curvatures = np.geomspace(0.3, 30, 12)
    found = health(quadratic_trace(curvatures, settings(num_draws=3000, num_burnin=300), kernel=kernel))
    assert abs(found.virial - 1) < 4 * found.virial_se
    assert found.virial_se < 0.02
    early = settings(lr=1e-5, num_draws=40, num_burnin=0)
    assert health(quadratic_trace(curvatures, early, kernel=kernel)).virial < 0.5


def test_minibatches_of_a_function_are_drawn_from_its_data() -> None:
    """Linear regression on minibatches: the value is that of the whole data set's curvature, plus their noise's."""
    generator = torch.Generator().manual_seed(0)
    data = torch.randn(200, 3, generator=generator, dtype=torch.float64)

    def loss(positions: torch.Tensor, batch: torch.Tensor | None) -> torch.Tensor:
        assert batch is not None
        return (positions @ batch.T).square().mean(1) / 2

    chosen = settings(batch_size=50, num_draws=4000)
    found = learning_coefficient(sampled(loss, 3, chosen, data=data))
    curvatures = torch.linalg.eigvalsh(data.T @ data / 200).numpy()
    truth = closed_form.quadratic(curvatures, chosen, curvature_variance=2 * curvatures**2 / 50)
    assert abs(found.value - truth) / found.se < 4
    assert abs(found.value - closed_form.quadratic(2 * curvatures, chosen)) / found.se > 4
