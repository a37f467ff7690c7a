"""Independent draws: cumulants against quadrature, coefficients against exact values and chains, and refusals."""

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr
from scipy import stats

from experiments import open_run
from llc import closed_form, engine, gaussian_moments, independent, losses
from llc.cumulant_expansion import LARGEST, Law, coefficient, spread
from llc.estimate import learning_coefficient
from llc.gaussian_moments import Gaussian, OnRow
from llc.independent import independent_draws
from llc.settings import QUICK, Settings
from tests.conftest import GPT2, make_model

pytestmark = pytest.mark.both_majors

CURVATURES = 5.0 / np.arange(1, 201)
Function = Callable[[torch.Tensor], torch.Tensor]  # positions [draw, dim] -> losses [draw]


def rows_of(function: Function, count: int, noise: float = 0.0) -> Iterator[OnRow]:
    """Rows on which a function is multiplied by factors of mean 1: exponential ones, where there is noise."""
    factors = np.random.default_rng(0)

    for _ in range(count):
        factor = 1 + noise * (factors.exponential() - 1)

        def evaluate(positions: torch.Tensor, gradient: bool = True, factor: float = factor) -> tuple:
            positions = positions.detach().requires_grad_()
            values = factor * function(positions)
            return values.detach(), torch.autograd.grad(values.sum(), positions)[0] if gradient else positions

        yield 0.0, {"f": evaluate}


def gaussian(dimension: int, scale: float, seed: int = 0) -> dict[str, Gaussian]:
    center = torch.zeros(dimension, dtype=torch.float64)
    return {"f": Gaussian(center, scale, torch.Generator().manual_seed(seed))}


def by_quadrature(function: Function, dimension: int, scale: float) -> tuple[float, float, float]:
    """Mean, variance and half the third cumulant of f under the Gaussian."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    grid = torch.tensor(np.stack(np.meshgrid(*[nodes] * dimension), -1).reshape(-1, dimension))
    share = np.prod(np.meshgrid(*[weights / weights.sum()] * dimension), 0).ravel()
    f = function(scale * grid).numpy()
    mean = share @ f
    return mean, share @ (f - mean) ** 2, share @ (f - mean) ** 3 / 2


FUNCTIONS = {
    "linear and quadratic": (lambda w: w[:, 0] + (w**2) @ torch.tensor([0.2, 1.0], dtype=torch.float64), 2),
    "quartic": (lambda w: w[:, 0] ** 4 + w[:, 0], 1),
    "crossing": (lambda w: (w[:, 0] * w[:, 1]) ** 2, 2),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_cumulants_are_those_of_quadrature(name: str) -> None:
    function, dimension = FUNCTIONS[name]
    mean, variance, third = by_quadrature(function, dimension, 0.7)
    wider, drawn = by_quadrature(function, dimension, 0.93), gaussian(dimension, 0.7)
    rises = np.array(gaussian_moments.rises(rows_of(function, 2000, 0.3), drawn)["f"])
    products = gaussian_moments.cumulants(rows_of(function, 12_000, 0.3), drawn)["f"]
    measured = rises, np.array(products.second), np.array(products.third)
    for values, exact, other in zip(measured, (mean, variance, third), wider, strict=True):
        error = values.std() / math.sqrt(len(values))
        assert abs(values.mean() - exact) < 4 * error
        assert abs(values.mean() - other) > 4 * error  # the control: noise that is larger by a third


def exact(curvatures: np.ndarray, law: Law, settings: Settings = QUICK) -> float:
    """The learning coefficient of a quadratic."""
    x = settings.nbeta * curvatures / settings.localization
    return float((x / (1 + x)).sum() / 2) if law == "posterior" else closed_form.quadratic(curvatures, settings)


def estimated(curvatures: np.ndarray, law: Law, draws: int, seed: int = 0, noise: float = 1.0) -> xr.Dataset:
    """The learning coefficient of a quadratic by independent draws."""
    h = torch.from_numpy(curvatures)

    def rows(count: int) -> Iterator[OnRow]:
        for factor in 1 + noise * (np.random.default_rng(seed).exponential(size=count) - 1):
            yield 0.0, {"f": lambda w, gradient=True, factor=factor: (factor * (w * w) @ h / 2, factor * w * h)}

    drawn = gaussian(len(h), spread(QUICK, law), seed)
    rises = gaussian_moments.rises(rows(draws), drawn)["f"]
    return coefficient(rises, gaussian_moments.cumulants(rows(draws // 12 * 3), drawn)["f"], QUICK, law)


@pytest.mark.parametrize("law", ["posterior", "sgld"])
def test_many_small_curvatures_tell_the_laws_apart(law: Law) -> None:
    curvatures = 0.05 * QUICK.localization / QUICK.nbeta * np.ones(200)
    found, truth = estimated(curvatures, law, 6000, noise=0.2), exact(curvatures, law)
    assert abs(found.value - truth) < 4 * found.se
    assert abs(found.noise_value - truth) > 4 * found.se  # the controls: nothing subtracted, and the other law
    assert abs(found.value - exact(curvatures, "sgld" if law == "posterior" else "posterior")) > 4 * found.se


@pytest.mark.parametrize("law", ["posterior", "sgld"])
def test_few_large_curvatures_need_the_third_term(law: Law) -> None:
    curvatures = 0.6 * QUICK.localization / QUICK.nbeta * np.ones(2)
    found, truth = estimated(curvatures, law, 20_000, noise=0.2), exact(curvatures, law)
    assert abs(found.value - truth) < 4 * found.se
    assert abs(found.noise_value - found.tilt - truth) > 4 * found.se  # the control: the series to its second term


def test_intervals_hold_the_truth_in_93_to_97_percent() -> None:
    repetitions, curvatures = 200, 2.5 / np.arange(1, 201)
    found, truth = (
        [estimated(curvatures, "posterior", 200, seed) for seed in range(200)],
        exact(curvatures, "posterior"),
    )
    low, high = stats.binom.ppf(0.001, repetitions, 0.93), stats.binom.ppf(0.999, repetitions, 0.97)
    assert not any("refused" in one.attrs for one in found)
    assert low <= sum(bool(one.interval[0] <= truth <= one.interval[1]) for one in found) <= high
    other = exact(1.5 * curvatures, "posterior")  # the control
    assert sum(bool(one.interval[0] <= other <= one.interval[1]) for one in found) < low


def test_a_mild_tilt_is_refused_no_more_than_it_must_be() -> None:
    strong = estimated(2 * CURVATURES, "posterior", 400)
    assert float(strong.tilt) > LARGEST
    assert "use chains" in strong.attrs["refused"]
    assert all(math.isnan(number) for number in (strong.value, strong.se, *strong.interval.values))
    assert strong.noise_value > 4  # what was measured is kept
    mild = estimated(CURVATURES / 2, "posterior", 400)
    assert "refused" not in mild.attrs
    assert np.isfinite(mild.value)


def tokens_of(rows: int = 60) -> torch.Tensor:
    return torch.randint(50, (rows, 12), generator=torch.Generator().manual_seed(2))


def reference_losses() -> dict[str, losses.Loss]:
    return {
        "next": losses.next_token(),
        "weighted": losses.weighted(torch.linspace(0, 2, 60 * 11).view(60, 11), "ramp"),
        "kl": losses.kl_to(make_model(5, n_layers=1)),
    }


@pytest.mark.parametrize("loss", reference_losses().values(), ids=reference_losses())
def test_paths_give_the_same_draws(loss: losses.Loss, monkeypatch: pytest.MonkeyPatch) -> None:
    model, names = make_model(1), ["L0H1", "L1H2", "L0H2"]
    fast = independent_draws(model, tokens_of(), names, settings=QUICK, seed=0, loss=loss, draws=8)
    alone = independent_draws(model, tokens_of(), "L0H2", settings=QUICK, seed=0, loss=loss, draws=8)["L0H2"]
    assert alone.identical(fast["L0H2"])  # whatever else is asked for
    monkeypatch.setattr(engine, "general_because", lambda *arguments: dict.fromkeys(names, "asked for"))
    slow = independent_draws(model, tokens_of(), names, settings=QUICK, seed=0, loss=loss, draws=8)
    other = independent_draws(model, tokens_of(), names, settings=QUICK, seed=1, loss=loss, draws=8)
    assert list(fast) == list(slow) == names
    for name in names:
        for number in ("noise_value", "tilt", "third"):
            exact = pytest.approx(float(slow[name][number]), rel=0.01, abs=1e-5)
            assert float(fast[name][number]) == exact, (name, number)
            assert float(other[name][number]) != exact, (name, number)


def test_any_part_of_any_model() -> None:
    found = independent_draws(make_model(1, **GPT2), tokens_of(), ["unembed", "L0"], settings=QUICK, seed=0, draws=8)
    assert [one.attrs["dimension"] for one in found.values()] == [1250, 1782]
    assert all(one.noise_se > 0 for one in found.values())


def test_chains_agree_on_a_trained_model() -> None:
    """Two heads, each of which is the other's control."""
    run = open_run("mini-seed0")
    model, tokens, heads = run.model(run.steps[-1]), run.corpus("train").batch(slice(0, 4096)), ["L1H2", "L1H4"]
    found = independent_draws(model, tokens, heads, settings=QUICK, seed=0, law="sgld", draws=200)
    traces = engine.sample(model, tokens, heads, settings=QUICK, seed=0)
    chains = {name: learning_coefficient(trace) for name, trace in traces.items()}
    for name in heads:
        for other in heads:
            apart = abs(found[name].value - chains[other].value) / np.hypot(found[name].se, chains[other].se)
            assert (apart < 4) == (name == other)
    assert found["L1H4"].se < 0.03 * found["L1H4"].value


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"draws": 7}, "draws=7: a standard error needs 8"),
        ({"settings": replace(QUICK, localization=0.0)}, "localization=0: without one there is no Gaussian"),
        ({"settings": replace(QUICK, lr=0.02), "law": "sgld"}, "lr=0.02 at localization 200: no chain is stationary"),
        ({"restrictions": "L9H0"}, "L9H0"),
        ({"tokens": torch.full((3, 12), 99)}, "99"),
    ],
)
def test_bad_input_is_named(given: dict, message: str) -> None:
    arguments = {"tokens": tokens_of(), "restrictions": "L0H1", "settings": QUICK, "seed": 0} | given
    with pytest.raises(ValueError, match=re.escape(message)):
        independent_draws(make_model(1), arguments.pop("tokens"), arguments.pop("restrictions"), **arguments)
    with pytest.raises(ValueError, match="law='chain': choose from"):
        independent._check(QUICK, "chain", 8)
