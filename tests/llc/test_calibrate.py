"""The sweep finds a plateau where there is one, and says so where there is none."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import xarray as xr

from llc import calibrate, closed_form
from tests.llc.conftest import quadratic_trace, settings

BASE = settings(num_draws=800, num_burnin=100)
GRID = {"lrs": [2e-5, 1e-4], "localizations": [100.0, 200.0], "nbetas": [10.0, 100.0, 1000.0]}


@cache
def swept(curvature: float, noise: float = 0.0) -> xr.Dataset:
    curvatures = np.full(20, curvature)
    chosen = [replace(one, num_draws=min(one.num_draws, 1700), num_burnin=min(one.num_burnin, 1000)) for one in grid()]
    return calibrate.sweep(lambda one: quadratic_trace(curvatures, one, noise), chosen)


def grid() -> list:
    return calibrate.grid(BASE, GRID["lrs"], GRID["localizations"], GRID["nbetas"])


def test_a_grid_has_the_control_and_a_burnin_that_settles() -> None:
    chosen = grid()
    assert len(chosen) == 2 * 2 * 4
    assert sum(one.nbeta == 0 for one in chosen) == 4
    assert {one.num_burnin for one in chosen if (one.lr, one.localization) == (1e-4, 200.0)} == {300}
    assert {one.num_draws - one.num_burnin for one in chosen} == {700}


def test_a_plateau_is_found() -> None:
    """Curvatures far above localization / nbeta: every parameter counts a half, at any nbeta that is large enough."""
    sweep = swept(10.0)
    found = calibrate.recommend(sweep, BASE)
    assert found.plateau
    assert found.settings.nbeta >= 100
    at = sweep.sel(lr=found.settings.lr, localization=found.settings.localization, nbeta=found.settings.nbeta)
    assert at.value == pytest.approx(closed_form.quadratic(np.full(20, 10.0), found.settings), rel=0.05)
    assert at.slope == pytest.approx(0, abs=0.3)


def test_noise_sensitivity_is_not_taken_for_a_plateau() -> None:
    """Curvatures far below: the value is nbeta times the control's rise."""
    sweep = swept(0.02)
    found = calibrate.recommend(sweep, BASE)
    assert not found.plateau
    assert "no plateau" in found.reason
    assert (found.settings.nbeta, found.settings.localization, found.settings.lr) == (1000.0, 200.0, 1e-4)
    at = sweep.sel(lr=1e-4, localization=200.0)
    assert at.slope[2] == pytest.approx(1, abs=0.15)
    assert at.value[2] == pytest.approx(at.control[2].item(), rel=0.1)
    felt = swept(10.0).sel(lr=1e-4, localization=200.0)
    assert felt.value[3] < 0.2 * felt.control[3]  # the control of the control: a loss that is felt


def test_settings_that_heat_the_chain_are_not_recommended() -> None:
    sweep = swept(1.0, noise=0.15)
    assert (sweep.temperature.sel(nbeta=1000.0) > 1.1).all()
    assert calibrate.recommend(sweep, BASE).settings.nbeta == 100
    hopeless = sweep.assign(temperature=sweep.temperature + 1)
    none = calibrate.recommend(hopeless, BASE)
    assert none.settings is None
    assert "no setting of the sweep" in none.reason
    steep = sweep.assign(excess=sweep.excess.where(sweep.nbeta < 50, 0.3), excess_se=0 * sweep.excess_se)
    assert calibrate.recommend(steep, BASE).settings.nbeta == 10
    assert calibrate.recommend(sweep.drop_vars(["excess", "excess_se"]), BASE).settings.nbeta == 100
