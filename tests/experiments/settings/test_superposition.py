"""The toy model of superposition: its loss in closed form, its critical points, and what theory says of its phases."""

import math

import pytest
import torch

from experiments.settings.superposition import phases
from experiments.settings.superposition.critical import NAMED, POINTS, PUBLISHED_COEFFICIENT, PUBLISHED_LOSS
from experiments.settings.superposition.loss import FEATURES, on_inputs, population, with_gradient
from llc import learning_coefficient, mala, sample_function
from llc.settings import Settings


def positions(count: int) -> torch.Tensor:
    return torch.randn(count, 18, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_the_closed_form_is_the_mean_over_inputs() -> None:
    at, count = positions(6), 20_000
    sizes = ((torch.arange(count, dtype=torch.float64) + 0.5) / count).expand(len(at), -1)
    axes = [torch.full_like(sizes, float(axis)) for axis in range(FEATURES)]
    mean = torch.stack([on_inputs(at, axis, sizes) for axis in axes]).mean(0)
    torch.testing.assert_close(population(at), mean, rtol=1e-6, atol=1e-8)
    assert (population(at + 1e-3) - mean).abs().min() > 1e-6


def test_the_gradient_is_that_of_automatic_differentiation() -> None:
    at = positions(40).requires_grad_()
    loss = population(at)
    (gradient,) = torch.autograd.grad(loss.sum(), at)
    torch.testing.assert_close(with_gradient(at.detach()), (loss.detach(), gradient))


@pytest.mark.parametrize("point", POINTS, ids=lambda point: point.name)
def test_k_gons_are_critical_points_and_others_are_not(point) -> None:  # type: ignore[no-untyped-def]
    assert with_gradient(point.point[None])[1].abs().max() < 1e-8
    assert with_gradient(1.02 * point.point[None])[1].abs().max() > 1e-3
    assert int(phases.corners(point.point[None])) == point.corners


def test_losses_and_coefficients_are_the_published_ones() -> None:
    assert {name: round(NAMED[name].loss, 5) for name in PUBLISHED_LOSS} == PUBLISHED_LOSS
    assert {name: NAMED[name].coefficient for name in PUBLISHED_COEFFICIENT} == PUBLISHED_COEFFICIENT
    assert NAMED["4"].loss == pytest.approx(1 / 9) and NAMED["4+"].loss == pytest.approx(1 / 9 - 1 / 144)


@pytest.mark.parametrize("name", ["5", "5+", "6"])
def test_the_hessian_has_as_many_positive_directions_as_the_coefficient_says(name: str) -> None:
    def loss(own: torch.Tensor) -> torch.Tensor:
        return population(own[None])[0]

    values = torch.linalg.eigvalsh(torch.autograd.functional.hessian(loss, NAMED[name].point))
    assert int((values > 0.01).sum()) == 2 * NAMED[name].coefficient
    assert values.abs().sort().values[: 18 - int(2 * NAMED[name].coefficient)].max() < 1e-6


def test_around_a_4_gon_the_loss_is_homogeneous_of_degree_two() -> None:
    """On rays, though its second derivative differs from side to side."""
    center = NAMED["4"].point
    rays = positions(50)
    rays[:, -2:] = 0  # the ignored features' biases are free
    small, smaller = (population(center + size * rays) - 1 / 9 for size in (1e-4, 1e-5))
    torch.testing.assert_close(small / smaller, torch.full((50,), 100.0, dtype=torch.float64), rtol=1e-2, atol=0)
    assert small.min() > 0
    opposite = population(center - 1e-4 * rays) - 1 / 9
    assert ((opposite / small - 1).abs() > 0.01).any()


def test_leading_order_gives_the_paper_s_transition_and_all_terms_an_earlier_one() -> None:
    assert phases.crossing_of_the_paper() == pytest.approx(601, abs=0.5)
    assert phases.crossing() == pytest.approx(253, abs=1)
    assert phases.crossing_of_the_paper(coefficients=False) < 150
    with pytest.raises(ValueError, match="no second derivative"):
        phases.free_energy(4, 100.0)


def test_far_on_free_energies_grow_as_loss_and_coefficient_say() -> None:
    n = 1e7
    grown = phases.free_energy(6, 2 * n) - phases.free_energy(6, n)
    assert grown - n * NAMED["6"].loss == pytest.approx(8.5 * math.log(2), abs=1e-3)


def test_a_sampled_coefficient_is_theory_s() -> None:
    settings = Settings("short", 1e-5, 1e5, 300.0, 1, num_chains=32, num_draws=400, num_burnin=150)
    found = learning_coefficient(sample_function(population, NAMED["5"].point, settings=settings, seed=0, kernel=mala))
    assert found.interval[0] < 7 < found.interval[1] and found.interval[1] < 9
