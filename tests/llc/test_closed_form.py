"""Exact coefficients against values worked out by hand, each other, and what they are defined by."""

from itertools import product

import numpy as np
import pytest
import torch

from llc import closed_form, quadrature
from llc.closed_form import Coefficient
from tests.llc.conftest import settings

BY_HAND = {
    ((2, 2, 2), 0): (1.5, 1),
    ((2, 2, 2), 1): (2, 2),
    ((2, 2, 2), 2): (2, 1),
    ((5, 3, 5), 0): (6.5, 2),
    ((5, 3, 5), 3): (10.5, 1),
    ((8, 4, 8), 4): (24, 1),
    ((10, 10, 10), 5): (47, 2),
    ((4, 4, 4, 4), 0): (5.5, 3),
    ((4, 4, 4, 4), 2): (7.5, 3),
    ((1, 1, 1), 0): (0.5, 2),
}


@pytest.mark.parametrize(("case", "value"), BY_HAND.items())
def test_deep_linear(case: tuple, value: tuple) -> None:
    assert closed_form.deep_linear(*case) == Coefficient(*value)


def test_deep_linear_with_two_layers_is_reduced_rank_regression() -> None:
    for inputs, hidden, outputs in product(range(1, 8), repeat=3):
        for rank in range(min(inputs, hidden, outputs) + 1):
            two_layers = closed_form.deep_linear((inputs, hidden, outputs), rank)
            assert two_layers == closed_form.reduced_rank_regression(inputs, outputs, hidden, rank)


def test_deep_linear_does_not_depend_on_the_order_of_hidden_widths() -> None:
    assert closed_form.deep_linear((4, 6, 3, 5), 2) == closed_form.deep_linear((4, 3, 6, 5), 2)
    assert closed_form.deep_linear((4, 6, 3, 5), 2) != closed_form.deep_linear((4, 6, 2, 5), 2)


def test_normal_crossings() -> None:
    assert closed_form.normal_crossings([1, 1]) == Coefficient(0.5, 2)
    assert closed_form.normal_crossings([1, 3, 0]) == Coefficient(1 / 6, 1)
    for wrong in ([0, 0], [1, -1], []):
        with pytest.raises(ValueError, match="exponents"):
            closed_form.normal_crossings(wrong)


def test_normal_crossings_are_where_the_posterior_goes_at_large_nbeta() -> None:
    """w1^2 w2^2: lambda(nbeta) = 1/2 - 1 / log(c nbeta), still far below 1/2 at any nbeta one can reach."""
    center = torch.zeros(2, dtype=torch.float64)

    def loss(w: torch.Tensor, batch: torch.Tensor | None) -> torch.Tensor:
        return w[:, 0] ** 2 * w[:, 1] ** 2

    grid = [50.0, 500.0]
    found = [quadrature.posterior(loss, center, settings(nbeta=n, localization=1.0), 7.0) for n in grid]
    inverse = 1 / (0.5 - np.array(found))  # log(c nbeta), were the law exact
    assert np.diff(inverse) == pytest.approx(np.log(10), rel=0.1)
    assert found[-1] < 0.42
    with pytest.raises(ValueError, match="too coarse"):
        quadrature.posterior(loss, center, settings(nbeta=1e5, localization=1.0), 7.0)


def test_kappa_of_a_quadratic_is_the_derivative() -> None:
    curvatures, chosen = np.geomspace(0.3, 30, 12), settings(lr=1e-9)
    values = [closed_form.quadratic(curvatures, settings(lr=1e-9, nbeta=n)) for n in (29.99, 30.01)]
    slope = np.log(values[1] / values[0]) / np.log(30.01 / 29.99)
    assert closed_form.quadratic_kappa(curvatures, chosen) == pytest.approx(slope, rel=1e-5)


@pytest.mark.parametrize("widths", [(3,), (3, 2)])
def test_bad_networks_are_named(widths: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="rank 3"):
        closed_form.deep_linear(widths, 3)


def test_an_unstable_step_has_no_stationary_value() -> None:
    with pytest.raises(ValueError, match="unstable"):
        closed_form.quadratic(np.array([1e6]), settings())
    with pytest.raises(ValueError, match="unstable"):
        closed_form.quadratic(np.array([60.0]), settings(), curvature_variance=60.0**2 * 3)


def test_a_tanh_network_has_the_published_coefficient() -> None:
    """Aoyagi and Watanabe 2005; with one unit the loss is that of the product a b, whose crossing is known."""
    assert [closed_form.tanh_network(hidden).value for hidden in (1, 2, 3, 4, 9)] == pytest.approx(
        [1 / 2, 2 / 3, 5 / 6, 1, 3 / 2]
    )
    assert [closed_form.tanh_network(hidden).multiplicity for hidden in (1, 2, 3, 4, 9)] == [2, 1, 1, 2, 2]
    assert closed_form.tanh_network(1) == closed_form.normal_crossings([1, 1]) != closed_form.normal_crossings([1, 2])
    with pytest.raises(ValueError, match="hidden=0"):
        closed_form.tanh_network(0)
