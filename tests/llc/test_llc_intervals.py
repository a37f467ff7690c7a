"""Intervals of learning coefficients: how often they hold the truth, and what they are computed from."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr
from scipy import stats

from llc import intervals
from llc.chains import sample_function
from llc.diagnose import health
from llc.estimate import half_width, learning_coefficient, rises
from llc.settings import MINI, PAPER, QUICK, Settings
from tests.llc.conftest import quadratic_trace, settings

REPETITIONS = 200
CURVATURES = 5.0 / np.arange(1, 201)


def exact(chosen: Settings, curvatures: np.ndarray) -> float:
    """The mean over the kept draws of nbeta times the loss rise on a quadratic, from the center on."""
    keep, variance, rise = 1 - chosen.lr / 2 * (chosen.nbeta * curvatures + chosen.localization), 0 * curvatures, []
    for _ in range(chosen.num_draws):
        rise.append(chosen.nbeta * (curvatures * variance).sum() / 2)
        variance = keep**2 * variance + chosen.lr
    return float(np.mean(rise[chosen.num_burnin :]))


def estimates(chosen: Settings, curvatures: np.ndarray) -> list[xr.Dataset]:
    """Of repetitions whose chains were sampled side by side: without minibatches, chains are independent."""
    h = torch.from_numpy(curvatures).float()
    many = replace(chosen, num_chains=REPETITIONS * chosen.num_chains)
    trace = sample_function(lambda x, _: (x**2 * h).sum(1) / 2, torch.zeros(len(h)), settings=many, seed=0)
    trace = trace[["loss", "center_loss"]].assign_attrs(settings=chosen.to_json())
    parts = np.split(np.arange(many.num_chains), REPETITIONS)
    return [learning_coefficient(trace.isel(chain=part)) for part in parts]


def held(found: list[xr.Dataset], truth: float, way: str) -> int:
    """How many intervals hold the truth, by `interval` or by 1.96 standard errors."""
    if way == "interval":
        return sum(bool(one.interval[0] <= truth <= one.interval[1]) for one in found)
    return sum(bool(abs(one.value - truth) <= 1.96 * one.se) for one in found)


@pytest.mark.parametrize("chosen", [QUICK, PAPER, MINI], ids=lambda chosen: chosen.name)
def test_intervals_hold_the_truth_in_93_to_97_percent(chosen: Settings) -> None:
    curvatures = CURVATURES * QUICK.nbeta / chosen.nbeta
    found, truth = estimates(chosen, curvatures), exact(chosen, curvatures)
    low, high = stats.binom.ppf(0.001, REPETITIONS, 0.93), stats.binom.ppf(0.999, REPETITIONS, 0.97)
    assert low <= held(found, truth, "interval") <= high
    if chosen is not PAPER:  # the control: 1.96 standard errors from 40 draws do not
        assert held(found, truth, "1.96 se") < low
    # and an interval is about something: it misses a truth that is 3 of its half widths away
    far = truth + 3 * float(np.mean([one.interval[1] - one.value for one in found]))
    assert held(found, far, "interval") < low


def test_intervals_are_computed_from_what_was_stored_before_there_were_any() -> None:
    """From se, chain_se, ess and settings alone, also for a table of several records."""
    traces = [quadratic_trace(CURVATURES[:20], settings(num_chains=2, num_draws=90), seed=seed) for seed in (0, 1)]
    records = [health(trace) for trace in traces]
    table = xr.concat([record.drop_dims("bound") for record in records], "step", combine_attrs="override")
    half = intervals.half_widths(table)
    for number, record in enumerate(records):
        assert record.interval.values == pytest.approx(
            [float(record.value - half[number]), float(record.value + half[number])]
        )
    assert intervals.with_half_widths(table).half_width.dims == ("step",)
    assert (intervals.half_widths(table.assign(chain_se=3 * table.chain_se)) > half).all()  # the control: it is read


def test_half_width_of_a_series_is_that_of_the_estimate() -> None:
    chosen = settings(num_chains=3, num_draws=100)
    trace = quadratic_trace(CURVATURES[:20], chosen, noise=0.1)
    found = learning_coefficient(trace)
    assert half_width(chosen.nbeta * rises(trace)[:, chosen.num_burnin :], chosen) == pytest.approx(
        float(found.interval[1] - found.value)
    )
    assert found.rise_interval.values * chosen.nbeta == pytest.approx(found.interval.values)
    assert found.chain_interval.dims == ("chain", "bound") and found.bound.values.tolist() == ["low", "high"]
    for name in ("chain", "unpaired"):
        value = found.chain_value if name == "chain" else found.unpaired
        ends = found[f"{name}_interval"]
        assert ((ends.sel(bound="low") < value) & (value < ends.sel(bound="high"))).all()


def test_at_nbeta_0_the_loss_rise_has_its_interval() -> None:
    found = learning_coefficient(quadratic_trace(CURVATURES[:20], settings(nbeta=0.0, num_draws=90)))
    assert found.interval.values.tolist() == [0, 0]
    assert found.rise_interval[0] < found.rise < found.rise_interval[1]


def test_degrees_are_those_of_the_sampler_s_law_and_of_the_draws() -> None:
    """At QUICK 40 draws over (1 + 0.81) / (1 - 0.81); more where the draws show more, never less than 1."""
    few = intervals.degrees(2.0, 2.0, QUICK)
    assert float(few) == pytest.approx(40 * (1 - 0.81) / (1 + 0.81))
    assert float(intervals.degrees(80.0, 2.0, QUICK)) == pytest.approx(80 / 2 / 8)
    free = replace(QUICK, localization=0.0)  # nothing holds the chain: only its draws say how many are worth something
    assert float(intervals.degrees(np.nan, 2.0, free)) == 1.0
    assert float(intervals.degrees(80.0, 2.0, free)) == pytest.approx(80 / 2 / 8)


def test_half_width_is_a_quantile_of_student_s_t() -> None:
    assert float(intervals.half_width(2.0, 1e9)) == pytest.approx(2 * 1.959964, rel=1e-5)
    assert intervals.half_width(np.array([1.0, np.nan]), 1.0) == pytest.approx([12.7062, np.nan], nan_ok=True)
    with pytest.raises(ValueError, match="degrees=0"):
        intervals.half_width(1.0, 0.0)


def test_chains_that_diverged_do_not_count() -> None:
    chosen = settings(num_chains=2, num_draws=90)
    trace = quadratic_trace(CURVATURES[:20], chosen)
    dead = trace.assign(loss=trace.loss.where(xr.DataArray([True, False], dims="chain")))
    assert np.isnan(learning_coefficient(dead).interval).all()
    alone = learning_coefficient(trace.isel(chain=[0]).assign_attrs(settings=replace(chosen, num_chains=1).to_json()))
    kept = learning_coefficient(dead, drop_bad_chains=True)
    assert kept.interval.values == pytest.approx(alone.interval.values)
    assert np.isnan(kept.chain_interval.values[1]).all()
    assert intervals.half_widths(kept) == pytest.approx(float(kept.interval[1] - kept.value))
