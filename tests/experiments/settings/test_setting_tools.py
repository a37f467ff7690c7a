"""What the settings share: replica exchange, limits over nbeta, plateaus, intervals."""

import numpy as np
import pytest
import torch

from experiments.settings import intervals, limits, plateaus, replica_exchange

CURVATURES = torch.tensor([0.5, 4.0], dtype=torch.float64)
NBETAS = torch.tensor([0.0, 2.0, 10.0, 50.0], dtype=torch.float64)


def quadratic(at: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return (CURVATURES * at**2).sum(1) / 2, CURVATURES * at


def test_replica_exchange_samples_the_posterior_at_every_nbeta() -> None:
    start = torch.zeros(40, len(NBETAS), 2, dtype=torch.float64)
    chains = replica_exchange.draws(quadratic, start, NBETAS, localization=1.0, steps=1500, burnin=300, seed=0)
    means = torch.stack([loss for _, loss in chains]).mean(0)  # [replica, level]
    exact = (CURVATURES[:, None] / (NBETAS * CURVATURES[:, None] + 1) / 2).sum(0)
    error = means.std(0) / 40**0.5
    assert ((means.mean(0) - exact).abs() < 4 * error).all()
    assert ((means.mean(0) - 1.2 * exact).abs() > 4 * error).all()  # a law that is 20% off is told apart


def test_replica_exchange_finds_both_wells() -> None:
    """Between wells of a barrier that no chain crosses at the largest nbeta, in the shares of the posterior."""

    def wells(at: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        square = at**2 - 1
        return (square**2).sum(1), 4 * at * square

    ladder = torch.cat([torch.zeros(1), torch.logspace(-1, 2, 14)]).double()
    start = torch.ones(20, len(ladder), 1, dtype=torch.float64)
    right = [
        float((at[:, -1, 0] > 0).double().mean())
        for at, _ in replica_exchange.draws(wells, start, ladder, localization=0.1, steps=3000, burnin=500, seed=1)
    ]
    assert abs(np.mean(right) - 0.5) < 0.1
    alone = replica_exchange.draws(wells, start[:, -1:], ladder[-1:], localization=0.1, steps=600, burnin=100, seed=1)
    assert all((at > 0).all() for at, _ in alone)


@pytest.mark.parametrize(
    ("values", "multiplicity"),
    [
        (lambda log: 1.5 - 1 / (log - 2), 2),
        (lambda log: 1.5 - 3 / (log + 1), 4),
        (lambda log: 1.5 - np.exp(-0.3 * log), 1),
    ],
)
def test_a_limit_is_found_by_its_own_law_only(values, multiplicity: int) -> None:  # type: ignore[no-untyped-def]
    nbetas = np.logspace(2, 7, 11)
    curve = values(np.log(nbetas))
    assert limits.limit(nbetas, curve, multiplicity) == pytest.approx(1.5, abs=1e-3)
    np.testing.assert_allclose(limits.fitted(nbetas, curve, multiplicity), curve, atol=1e-4)
    assert abs(limits.limit(nbetas, curve, 3) - 1.5) > 0.01


def test_plateaus_are_flat_stretches() -> None:
    curve = np.concatenate([np.full(20, 5.0), np.linspace(5, 1, 15), np.full(30, 1.0), np.linspace(1, 0.5, 8)])
    found = plateaus.find(curve, flat=0.02, shortest=10)
    assert [round(float(np.median(curve[begin:end])), 2) for begin, end in found] == [5.0, 1.0]
    assert plateaus.find(np.geomspace(10, 0.1, 60), flat=0.02, shortest=10) == []


def test_intervals_hold_the_truth_and_not_too_often() -> None:
    drawn = np.random.default_rng(0).normal(2.0, 1.0, (400, 8))
    held = [low < 2 < high for _, low, high in map(intervals.mean, drawn)]
    assert 0.92 < np.mean(held) < 0.98
    assert intervals.share(9, 10)[1] > 0.5 > intervals.share(6, 10)[1]
    assert intervals.slope([1.0, 2.0, 3.0, 4.0], [2.0, 4.1, 5.9, 8.0])[0] == pytest.approx(1.98)
    assert np.isnan(intervals.mean([1.0])).all() and np.isnan(intervals.share(0, 0)).all()
