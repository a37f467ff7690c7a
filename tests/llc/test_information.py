"""Singular fluctuation, WAIC and WBIC, where they are known."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Tensor

from llc import information, leimkuhler_matthews, mala
from llc.chains import sample_function
from llc.settings import Settings, natural_nbeta

N, DIM = 40, 3
GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(N, DIM, generator=GENERATOR, dtype=torch.float64)
Y = X @ torch.ones(DIM, dtype=torch.float64) + torch.randn(N, generator=GENERATOR, dtype=torch.float64)
BEST = torch.linalg.lstsq(X, Y[:, None]).solution[:, 0]
WEAK = 1e-6  # a localization that does not matter


def likelihoods(positions: Tensor) -> Tensor:
    """Minus the log likelihood of every sample of a linear regression, but for its constant [chain, sample]."""
    return (Y - positions @ X.T).square() / 2


def regression(nbeta: float, **changes: float) -> xr.Dataset:
    """Chains on the whole data, whose posterior at this nbeta is N(BEST, (nbeta / N X^T X)^-1)."""
    chosen = Settings("REGRESSION", 1.0 / nbeta, nbeta, WEAK, 1, num_chains=40, num_draws=900, num_burnin=100)
    return sample_function(
        lambda w, batch: likelihoods(w).mean(1),
        BEST,
        settings=replace(chosen, **changes),
        seed=0,
        kernel=leimkuhler_matthews,
        each=likelihoods,
    )


def spreads(nbeta: float) -> tuple[np.ndarray, np.ndarray]:
    """The residual of every sample, and the variance of its prediction."""
    covariance = np.linalg.inv(nbeta / N * (X.T @ X).numpy())
    return (Y - X @ BEST).numpy(), np.einsum("ia,ab,ib->i", X, covariance, X)


def off(found: xr.Dataset, truth: float) -> float:
    return float(abs(found.value - truth) / found.se)


def test_singular_fluctuation_of_a_regression() -> None:
    """l = (r - x.d)^2 / 2 has variance r^2 v + v^2 / 2; half their sum is near d / 2 when residuals have variance 1."""
    r, v = spreads(float(N))
    truth = float((r**2 * v + v**2 / 2).sum() / 2)
    found = information.singular_fluctuation(regression(float(N)))
    assert off(found, truth) < 4
    assert found.se / found.value < 0.03
    assert truth == pytest.approx(DIM / 2, rel=0.3)
    assert off(found, 2 * truth) > 4  # the control: a factor of two
    many = np.random.default_rng(0).normal(size=(4000, DIM))
    leverage = np.einsum("ia,ab,ib->i", many, np.linalg.inv(many.T @ many), many)
    noise = np.random.default_rng(1).normal(size=4000)
    assert (noise**2 * leverage + leverage**2 / 2).sum() / 2 == pytest.approx(DIM / 2, rel=0.05)


def test_waic_of_a_regression() -> None:
    r, v = spreads(float(N))
    fit = np.mean(np.log(1 + v) / 2 + r**2 / (2 * (1 + v)))
    truth = float(fit + (r**2 * v + v**2 / 2).sum() / N)
    found = information.waic(regression(float(N)))
    assert off(found, truth) < 4
    assert off(found, float(fit)) > 4  # the control: without its penalty
    wide = regression(float(N)).isel(predicted=[0, 0])
    with pytest.raises(ValueError, match="the likelihood of each sample"):
        information.waic(wide)


def test_wbic_of_a_regression() -> None:
    found = information.wbic(regression(natural_nbeta(N)))
    best = float(likelihoods(BEST[None]).sum())
    assert off(found, best + DIM * np.log(N) / 2) < 4
    assert off(found, best + DIM / 2) > 4  # the control: the mean loss of the posterior itself
    with pytest.raises(ValueError, match=r"nbeta=40\.0 with 40 samples: WBIC is sampled at n / log n"):
        information.wbic(regression(float(N)))


def test_singular_fluctuation_and_wbic_at_normal_crossings() -> None:
    """y = a b x + noise at a = b = 0, where a b has no unique best point, against quadrature."""
    n, localization = 30, 0.5
    x = torch.randn(n, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    y = torch.randn(n, generator=torch.Generator().manual_seed(3), dtype=torch.float64)

    def each(positions: Tensor) -> Tensor:
        return (y - positions.prod(1)[:, None] * x).square() / 2

    chosen = Settings(
        "CROSSINGS", 0.05, natural_nbeta(n), localization, 1, num_chains=64, num_draws=3000, num_burnin=300
    )
    trace = sample_function(
        lambda w, batch: each(w).mean(1),
        torch.zeros(2, dtype=torch.float64),
        settings=chosen,
        seed=0,
        kernel=mala,
        each=each,
    )
    side = torch.linspace(-7, 7, 701, dtype=torch.float64)
    grid = torch.cartesian_prod(side, side)
    losses = each(grid)
    weight = torch.softmax(-chosen.nbeta * losses.mean(1) - localization / 2 * grid.square().sum(1), 0)
    mean = weight @ losses
    nu = float(chosen.nbeta / 2 * (weight @ losses.square() - mean**2).mean())
    found = information.singular_fluctuation(trace)
    assert off(found, nu) < 4
    assert found.se / found.value < 0.05
    regular = chosen.nbeta / n  # the control: d / 2 of a regular model of two parameters, tempered
    assert off(found, regular) > 4
    assert off(information.wbic(trace), float(n * mean.mean())) < 4
