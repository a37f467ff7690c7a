"""Deep linear networks: the benchmark's points are what they claim, its references are exact, its table stands."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import deep_linear_points as points
from llc import mala
from llc.chains import sample_function
from llc.closed_form import deep_linear
from llc.estimate import learning_coefficient
from tests.llc.conftest import settings

TABLE = Path(points.__file__).parent / "results" / "deep_linear.json"
SMALL = [((5, 3, 5), 1), ((4, 4, 4, 4), 2), ((3, 5, 4), 2), ((4, 6, 3, 5), 0), ((4, 6, 3, 5), 2), ((3, 4, 5, 4, 3), 1)]


@pytest.mark.parametrize(("widths", "rank"), SMALL)
def test_generic_points_have_half_the_jacobians_rank(widths: tuple[int, ...], rank: int) -> None:
    point = points.generic(widths, rank, 0)
    values = torch.linalg.svdvals(points.jacobian(point)).numpy()
    assert (values > 1e-9 * values[0]).sum() == points.jacobian_rank(point) == 2 * deep_linear(widths, rank).value
    assert torch.linalg.matrix_rank(point.product, atol=1e-9) == rank
    highest, lowest = points.curvature_range(point)
    assert highest == pytest.approx(2 * values[0] ** 2, rel=0.02)
    assert lowest <= 2 * values[values > 1e-9 * values[0]].min() ** 2 * 1.0001
    for factor in point.factors:
        kept = torch.linalg.svdvals(factor)
        kept = kept[kept > 1e-9]
        assert not len(kept) or kept[0] < 4 * kept[-1]


def test_deepest_points_are_singular() -> None:
    point = points.deepest((5, 3, 5), 1, 0)
    assert points.jacobian_rank(point) < 2 * deep_linear((5, 3, 5), 1).value
    assert [int(torch.linalg.matrix_rank(factor, atol=1e-9)) for factor in point.factors] == [1, 1]


def test_an_estimate_at_a_generic_point() -> None:
    """The finite-nbeta value, by MALA from the same point, and the rank."""
    point = points.generic((5, 3, 5), 2, 0)
    highest, _ = points.curvature_range(point)
    truth = points.jacobian_rank(point) / 2
    cold = settings(lr=0.05 / (5e5 * highest), nbeta=5e5, localization=500.0, num_chains=64, num_draws=3000)
    cold = replace(cold, num_burnin=300)
    found = learning_coefficient(sample_function(points.loss_at(point), point.flat, settings=cold, seed=0))
    adjusted = learning_coefficient(
        sample_function(points.loss_at(point), point.flat, settings=cold, seed=1, kernel=mala)
    )
    assert float(found.value) == pytest.approx(truth, rel=0.03)
    assert abs(found.value - adjusted.value) / np.hypot(found.se, adjusted.se) < 4
    for wrong in (truth + 1, truth - 1):
        assert abs(found.value - wrong) / found.se > 4


def test_gradient_descent_ends_at_a_minimum_whose_rank_is_clear() -> None:
    point = points.descended((6, 8, 6), 4, 0)
    values = torch.linalg.svdvals(point.product).numpy()
    np.testing.assert_allclose(values, [*np.linspace(1, 0.5, 4), 0, 0], atol=1e-12)  # those of the map to be learned
    assert points.jacobian_rank(point) == 2 * deep_linear((6, 8, 6), 4).value


def test_a_point_whose_rank_is_not_clear_is_refused() -> None:
    point = points.generic((5, 3, 5), 2, 0)
    left, values, right = torch.linalg.svd(point.factors[0], full_matrices=False)
    blurred = left * torch.tensor([*values[:-1], 1e-5 * values[0]]) @ right
    with pytest.raises(ValueError, match="not clear"):
        points.jacobian_rank(point._replace(factors=[blurred, point.factors[1]]))


def test_the_committed_table_meets_its_targets() -> None:
    record = json.loads(TABLE.read_text())
    assert len(record["details"]["A"]) >= 30
    targets = [row for row in record["rows"] if "target" in row]
    assert len(targets) == 4
    assert all(row["met"] for row in targets), targets
    sizes = [row["parameters"] for row in record["details"]["A"].values()]
    assert min(sizes) <= 150
    assert max(sizes) >= 900_000
    for row in record["details"]["A"].values():
        assert row["truth"] == row["formula"]
        assert row["settings"]["localization"] >= 100 * max(row["widths"])
        assert row["settings"]["nbeta"] == pytest.approx(1000 * row["settings"]["localization"])
        assert row["ours_se"] / row["ours"] < 0.01
