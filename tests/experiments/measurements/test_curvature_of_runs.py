"""Curvature of a run's heads: what the estimators say of the rows that chains sample."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from experiments import runs
from experiments.measurements import curvature as measured
from experiments.results.cells import Cells
from experiments.results.inputs import Inputs
from experiments.results.plan import default_plan
from llc.fisher_trace import fisher_trace
from llc.hessian_trace import hessian_trace


def cells_of(on: Inputs) -> Cells:
    """Curvature asks for no other cells."""
    return Cells(Path("unused"), on.run, on.plan)


@pytest.fixture(scope="module")
def on(trained: Path) -> Inputs:
    run = runs.open_run(trained / "runs" / "tiny-seed0")
    return Inputs(run, default_plan(run.config["preset"]["corpus"], 64))


@pytest.fixture(scope="module")
def found(on: Inputs) -> Iterator[xr.Dataset]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measured, "ROWS", 6)
        yield measured.measure(on, 60, cells_of(on))


def test_every_head_has_finite_values_with_errors(on: Inputs, found: xr.Dataset) -> None:
    heads = found.restriction.values.tolist()
    assert heads[0] == "L0H0"
    assert found.layer.values.tolist() == [int(name[1]) for name in heads]
    for kind in ("hessian", "fisher"):
        assert np.isfinite(found[kind]).all()
        assert (found[f"{kind}_se"] > 0).all()
    assert measured.measure(on, 60, cells_of(on)).identical(found)
    assert not np.allclose(measured.measure(on, 10, cells_of(on)).fisher, found.fisher)


def test_values_are_those_of_the_sampled_rows(on: Inputs, found: xr.Dataset) -> None:
    model, rows = on.model(60), on.sampled[: measured.ROWS]
    heads = found.restriction.values.tolist()
    for kind, trace in (("hessian", hessian_trace), ("fisher", fisher_trace)):
        expected = trace(model, rows, heads, seed=on.plan.seed)
        assert found[kind].values.tolist() == [expected[head].value for head in heads]
        other = trace(model, on.text.tokens[: measured.ROWS], heads, seed=on.plan.seed)
        assert found[kind].values.tolist() != [other[head].value for head in heads]
    squares = sum(getattr(model, name).square().sum((2, 3)) for name in ("W_Q", "W_K", "W_V", "W_O"))
    np.testing.assert_allclose(found.weight_norm, squares.sqrt().flatten(), rtol=1e-5)
