"""The estimator on quadratic losses: value, error, pairing, coverage."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr

from llc import closed_form, kernel, sgld
from llc.estimate import learning_coefficient, rises
from llc.settings import natural_nbeta
from tests.llc.conftest import quadratic_trace, settings

CURVATURES = np.geomspace(0.3, 30, 12)


def test_reaches_the_stationary_value_of_the_discretised_chain() -> None:
    chosen = settings(lr=2e-3, num_draws=4000)
    truth = closed_form.quadratic(CURVATURES, chosen)
    found = learning_coefficient(quadratic_trace(CURVATURES, chosen))
    assert abs(found.value - truth) / found.se < 4
    assert found.se / truth < 0.02
    assert found.rhat < 1.02
    # negative controls: continuous time, another temperature, and a value a tenth off all miss the estimate
    continuous = closed_form.quadratic(CURVATURES, replace(chosen, lr=1e-9))
    for wrong in (continuous, closed_form.quadratic(CURVATURES, replace(chosen, nbeta=33.0)), truth * 1.1):
        assert abs(found.value - wrong) / found.se > 4


def test_reaches_the_value_with_minibatch_noise() -> None:
    chosen = settings(lr=2e-3, num_draws=4000)
    noise = 0.3
    truth = closed_form.quadratic(CURVATURES, chosen, gradient_variance=noise**2)
    found = learning_coefficient(quadratic_trace(CURVATURES, chosen, noise=noise))
    assert abs(found.value - truth) / found.se < 4
    assert abs(found.value - closed_form.quadratic(CURVATURES, chosen)) / found.se > 4


def test_pairing_removes_the_shared_minibatch_noise() -> None:
    found = learning_coefficient(quadratic_trace(CURVATURES, settings(), noise=0.01, seed=1))
    assert found.unpaired_se > 5 * found.se
    assert abs(found.unpaired - found.value) < 4 * found.unpaired_se


def test_error_counts_chains_that_share_minibatches_once(caplog: pytest.LogCaptureFixture) -> None:
    """Two chains that are one and the same know no more than one."""
    chosen = settings(num_chains=2, num_draws=200, num_burnin=0)
    one = np.random.default_rng(0).normal(size=(1, 200))
    attrs = {"settings": chosen.to_json()}

    def trace(loss: np.ndarray) -> xr.Dataset:
        return xr.Dataset({"loss": (("chain", "draw"), loss), "center_loss": ("draw", np.zeros(200))}, attrs=attrs)

    twice, once = learning_coefficient(trace(np.repeat(one, 2, axis=0))), learning_coefficient(trace(one))
    assert twice.se == pytest.approx(once.se)
    assert once.chain_se.item() == pytest.approx(float(once.se))
    assert np.isnan(once.rhat) and not caplog.records  # one chain has nothing to disagree with
    assert twice.rhat < 1.1
    independent = np.random.default_rng(1).normal(size=(2, 200))
    assert learning_coefficient(trace(independent)).se < 0.9 * once.se  # the control: chains that do know more


def test_a_diverged_chain_makes_the_estimate_nan_unless_dropped() -> None:
    chosen = settings(num_chains=2, num_draws=50, num_burnin=5)
    trace = quadratic_trace(np.array([1.0, 2.0]), chosen)
    dead = trace.assign(loss=trace.loss.where(xr.DataArray([True, False], dims="chain")))
    assert np.isnan(learning_coefficient(dead).value)
    assert learning_coefficient(dead).bad_chains == 1
    alive = learning_coefficient(dead, drop_bad_chains=True)
    assert alive.value == pytest.approx(chosen.nbeta * rises(trace)[0, 5:].mean())
    assert np.isfinite(alive.chain_value.values).tolist() == [True, False]
    unstable = quadratic_trace(np.array([1e6]), replace(chosen, num_draws=400))
    assert learning_coefficient(unstable).bad_chains == 2
    assert np.isnan(learning_coefficient(unstable, drop_bad_chains=True).value)


def repeated_estimates(repetitions: int, draws: int, chosen) -> tuple[np.ndarray, float]:
    """Paired series [repetition, chain, draw] on quadratics whose minibatches of 8 rows are shared by the chains.

    Row j has curvatures h_i e_j with e_j of mean 1 and variance 10 (a few rows matter most), so a minibatch's have
    variance 10 h_i^2 / 8.
    """
    generator, drawn = torch.Generator().manual_seed(0), np.random.default_rng(0)
    h = torch.from_numpy(CURVATURES)
    state = sgld.init(torch.zeros(len(h), dtype=torch.float64), repetitions * chosen.num_chains)
    series = []

    def noise(size: int) -> torch.Tensor:
        return torch.randn(repetitions * chosen.num_chains, size, generator=generator, dtype=torch.float64)

    for _ in range(draws):
        rows = torch.from_numpy(drawn.gamma(0.1, 10, size=(repetitions, 8, 1)))
        batch = (h * rows.mean(1)).repeat_interleave(chosen.num_chains, dim=0)

        def evaluate(w: kernel.Positions, batch=batch) -> tuple[torch.Tensor, torch.Tensor]:
            return (batch * w * w).sum(1) / 2, batch * w

        state, info = sgld.update(state, evaluate, chosen, noise)
        series.append(info.loss)
    found = chosen.nbeta * torch.stack(series, -1).unflatten(0, (repetitions, chosen.num_chains)).numpy()
    return found, closed_form.quadratic(CURVATURES, chosen, curvature_variance=10 * CURVATURES**2 / 8)


def test_coverage_of_the_standard_error() -> None:
    """95% intervals hold the stationary value in 93 to 97% of 1,000 repetitions; the naive pooled formula does not."""
    from arviz_stats.base import array_stats

    chosen = settings(num_draws=1550)
    series, truth = repeated_estimates(1000, chosen.num_draws, chosen)
    ours, naive = [], []
    for one in series:
        trace = xr.Dataset(
            {"loss": (("chain", "draw"), one / chosen.nbeta), "center_loss": ("draw", np.zeros(chosen.num_draws))},
            attrs={"settings": chosen.to_json()},
        )
        kept = one[:, chosen.num_burnin :]
        found = learning_coefficient(trace)
        ours.append(abs(float(found.value) - truth) < 1.96 * float(found.se))
        ess = float(array_stats.ess(kept, method="mean", chain_axis=0, draw_axis=1))
        naive.append(abs(kept.mean() - truth) < 1.96 * kept.std() / np.sqrt(ess))
    assert 0.93 <= np.mean(ours) <= 0.97
    assert np.mean(naive) < 0.9
    # the discretisation bias: what the same estimates are away from continuous time
    continuous = closed_form.quadratic(CURVATURES, replace(chosen, lr=1e-9))
    values = series[:, :, chosen.num_burnin :].mean((1, 2))
    bias, error = values.mean() - continuous, values.std() / np.sqrt(1000)
    print(f"coverage {np.mean(ours):.3f}, naive {np.mean(naive):.3f}; bias of the step {bias / continuous:.1%}")
    assert bias > 10 * error
    assert abs(values.mean() - truth) < 4 * error


def test_natural_nbeta() -> None:
    assert natural_nbeta(1000) == pytest.approx(144.765, abs=1e-3)
    with pytest.raises(ValueError, match="n=1"):
        natural_nbeta(1)
