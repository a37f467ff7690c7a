"""Covariances along chains, where the posterior is Gaussian and every covariance has a closed form."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Tensor

from llc import covariances, influence, leimkuhler_matthews, susceptibility
from llc.chains import sample_function
from llc.settings import Settings

SAMPLES, DIM = 6, 3
CHOSEN = Settings(
    "COVARIANCES", lr=0.02, nbeta=20.0, localization=5.0, batch_size=1, num_chains=48, num_draws=700, num_burnin=100
)
GRADIENTS = torch.randn(SAMPLES, DIM, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
GRADIENTS -= GRADIENTS.mean(0)  # the center is a minimum of their mean
ROOTS = torch.randn(SAMPLES, DIM, DIM, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
CURVATURES = ROOTS @ ROOTS.mT / 2


def each(positions: Tensor) -> Tensor:
    """g_i w + w H_i w / 2 of every sample [chain, sample]."""
    bent = torch.einsum("cd,ide,ce->ci", positions, CURVATURES, positions) / 2
    return positions @ GRADIENTS.T + bent


def traced(chosen: Settings = CHOSEN, seed: int = 0, kept: int = DIM) -> xr.Dataset:
    """Chains of the mean of all samples; kept: how many coordinates vary."""

    def padded(positions: Tensor) -> Tensor:
        return each(torch.cat([positions, positions.new_zeros(len(positions), DIM - kept)], 1))

    center = torch.zeros(kept, dtype=torch.float64)
    loss = lambda positions, batch: padded(positions).mean(1)  # noqa: E731
    return sample_function(loss, center, settings=chosen, seed=seed, kernel=leimkuhler_matthews, each=padded)


def exact(chosen: Settings = CHOSEN, kept: int = DIM) -> tuple[np.ndarray, np.ndarray]:
    """Means and covariances of all samples' losses: g S g' + tr(H S H' S) / 2, S the posterior's covariance."""
    g, h = GRADIENTS[:, :kept].numpy(), CURVATURES[:, :kept, :kept].numpy()
    s = np.linalg.inv(chosen.nbeta * h.mean(0) + chosen.localization * np.eye(kept))
    return np.einsum("iab,ab->i", h, s) / 2, g @ s @ g.T + np.einsum("iab,bc,jcd,da->ij", h, s, h, s) / 2


@pytest.fixture(scope="module")
def trace() -> xr.Dataset:
    return traced()


def z(found: xr.Dataset, truth: np.ndarray) -> np.ndarray:
    """How far off values are, in standard errors."""
    return ((found.value.squeeze() - truth) / found.se.squeeze()).values


def test_the_kernel_is_that_of_the_gaussian_posterior(trace: xr.Dataset) -> None:
    _, truth = exact()
    found = influence.loss_kernel(trace)
    assert found.value.dims == ("probe_row", "other_row")
    assert abs(z(found, truth)).max() < 4.5
    assert (found.se / np.sqrt(np.outer(truth.diagonal(), truth.diagonal()))).max() < 0.03
    for wrong in (exact(replace(CHOSEN, nbeta=22.0))[1], truth.mean() + 0 * truth):  # the controls
        assert abs(z(found, wrong)).max() > 4.5
    assert (influence.bayesian_influence(trace).value == -found.value).all()


def test_it_is_not_the_classical_influence_where_the_localization_matters(trace: xr.Dataset) -> None:
    """Only where nbeta is large and localization / nbeta small is nbeta Cov the g H^-1 g of influence functions."""
    g, h = GRADIENTS.numpy(), CURVATURES.mean(0).numpy()
    classical = g @ np.linalg.inv(h) @ g.T
    far, near = (one.nbeta * exact(one)[1] for one in (CHOSEN, replace(CHOSEN, nbeta=1e6, localization=1e-3)))
    assert abs(near / classical - 1).max() < 1e-3 < abs(far / classical - 1).max()
    cold = replace(CHOSEN, lr=0.02 / 500, nbeta=1e4, localization=0.1)
    found = influence.loss_kernel(traced(cold))
    assert abs(z(found, classical / cold.nbeta)).max() < 4.5
    assert abs(z(influence.loss_kernel(trace), classical / CHOSEN.nbeta)).max() > 15


def test_posterior_correlations(trace: xr.Dataset) -> None:
    _, kernel = exact()
    truth = kernel / np.sqrt(np.outer(kernel.diagonal(), kernel.diagonal()))
    found = influence.posterior_correlation(trace)
    off = ~np.eye(SAMPLES, dtype=bool)
    assert abs(z(found, truth)[off]).max() < 4.5
    assert found.se.values[off].max() < 0.03
    assert found.value.values.diagonal() == pytest.approx(1)
    assert abs(z(found, np.abs(truth))[off]).max() > 4.5  # the control: signs matter


def test_influence_on_a_gain(trace: xr.Dataset) -> None:
    _, kernel = exact()
    weights = np.array([1.0, -1.0, 0.5, 0.0, 0.0, -0.5])
    gain = torch.from_numpy(weights)
    found, truth = influence.influence_on(trace, gain), -kernel @ weights
    assert found.value.dims == ("probe_row",) and abs(z(found, truth)).max() < 4.5
    of_f = float(weights @ kernel @ weights)
    correlated = influence.correlation_with(trace, gain)
    assert abs(z(correlated, -truth / np.sqrt(kernel.diagonal() * of_f))).max() < 4.5
    for wrong in (-truth, kernel @ abs(weights)):  # the controls: the sign of the influence, and of the weights
        assert abs(z(found, wrong)).max() > 4.5
    one = influence.correlation_with(trace, torch.eye(SAMPLES)[2])
    assert np.allclose(one.value, influence.posterior_correlation(trace).value[2])
    with pytest.raises(ValueError, match=r"weights \[2\]: give one for each row of the probes, 6"):
        influence.influence_on(trace, gain[:2])


def test_susceptibilities_and_shifts(trace: xr.Dataset) -> None:
    _, kernel = exact()
    truth = kernel.mean() - kernel.mean(0)  # -Cov(phi, l_i - L)
    found = susceptibility.susceptibilities(trace)
    assert found.value.dims == ("probe_row", "predicted")
    assert abs(z(found, truth)).max() < 4.5
    assert abs(z(found, -truth)).max() > 4.5  # the control: the other sign
    weights = torch.arange(float(SAMPLES))[:, None]
    towards = susceptibility.shift(trace, weights)
    share = np.arange(SAMPLES) / np.arange(SAMPLES).sum()
    assert abs(z(towards, truth @ share)) < 4
    assert float(towards.value) == pytest.approx(float(found.value.values[:, 0] @ share), rel=1e-9)
    with pytest.raises(ValueError, match=r"weights \[1, 6\]: give one for each probe, \[6, 1\]"):
        susceptibility.shift(trace, weights.T)


def test_two_chains_add_a_term_that_depends_on_the_part(trace: xr.Dataset) -> None:
    part = traced(kept=2, seed=1)
    (means, kernel), (full, _) = exact(kept=2), exact()
    one = kernel.mean() - kernel.mean(0)
    truth = one + means.mean() * ((full - full.mean()) - (means - means.mean()))
    found = susceptibility.two_chains(part, trace)
    assert abs(z(found, truth)).max() < 4.5
    assert abs(z(found, one)).max() > 5  # the control: the one-chain form
    assert abs(z(susceptibility.susceptibilities(part), one)).max() < 4.5


def test_without_the_loss_the_draws_are_those_of_the_localization() -> None:
    """The control of every picture: nbeta 0."""
    noise = replace(CHOSEN, nbeta=0.0, lr=0.1)
    found = influence.loss_kernel(traced(noise))
    assert abs(z(found, exact(noise)[1])).max() < 4.5
    assert abs(z(found, exact()[1])).max() > 10


def test_errors_are_those_of_repetitions() -> None:
    """With few chains of few draws that depend on each other: unbiased, and with an error of the right size."""
    few = replace(CHOSEN, lr=0.005, num_chains=4, num_draws=90, num_burnin=50)
    found = [influence.loss_kernel(traced(few, seed=seed)) for seed in range(60)]
    values, half = (np.array([one[name].values for one in found]) for name in ("value", "half_width"))
    truth = exact(few)[1]
    spread = values.std(0, ddof=1)
    assert abs((values.mean(0) - truth) / (spread / np.sqrt(len(values)))).max() < 4.5
    errors = np.sqrt(np.mean([one.se.values**2 for one in found], axis=0))
    assert 0.8 < np.mean(errors / spread) < 1.35
    covered = (abs(values - truth) < half).mean()
    assert 0.9 < covered < 0.985
    naive = spread.mean() / np.sqrt((values.mean(0) ** 2).mean())
    assert naive > 0.2  # the control: these are few draws, whose errors matter


def test_halves_of_the_chains_agree_where_there_is_something_to_agree_on(trace: xr.Dataset) -> None:
    assert susceptibility.split_half(trace) > 0.9
    assert susceptibility.split_half(traced(replace(CHOSEN, num_chains=6, num_draws=120))) < 0.999
    for chains, words in ((2, "errors over chains need 3"), (5, "split halves need 6")):
        few = traced(replace(CHOSEN, num_chains=chains, num_draws=110))
        with pytest.raises(ValueError, match=words):
            susceptibility.split_half(few) if chains > 2 else susceptibility.susceptibilities(few)


def test_a_chain_that_diverged_and_a_trace_without_probes_are_told(trace: xr.Dataset) -> None:
    dead = trace.phi.copy()
    dead[3] = np.nan
    assert susceptibility.susceptibilities(trace.assign(phi=dead)).value.isnull().all()
    with pytest.raises(ValueError, match=r"followed no probes: sample with probes=Probes\(tokens\)"):
        covariances.of_probes(trace.drop_vars("probe_rise"))
