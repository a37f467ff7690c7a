"""Susceptibilities under Gaussian noise: a closed form on quadratics, and chains at nbeta 0 on a model."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from llc import engine, leimkuhler_matthews, noise_susceptibility, susceptibility
from llc.gaussian_moments import Gaussian
from llc.noise_susceptibility import derivatives, noise_susceptibilities, of_products, with_chains
from llc.probes import Probes
from tests.conftest import make_model
from tests.llc.conftest import SHORT
from tests.llc.test_covariances import CHOSEN, CURVATURES, GRADIENTS, SAMPLES, each, exact, traced, z

TOKENS = torch.randint(50, (37, 12), generator=torch.Generator().manual_seed(2))
PROBES = Probes(torch.randint(50, (3, 10), generator=torch.Generator().manual_seed(3)), every=2)
SHARE = torch.full((SAMPLES, 1), 1 / SAMPLES, dtype=torch.float64)


def on_quadratics(draws: int, localization: float, gradients: torch.Tensor = GRADIENTS, bent: float = 1.0):
    stream = torch.Generator().manual_seed(4)
    gaussian = Gaussian(torch.zeros(3, dtype=torch.float64), localization**-0.5, stream)

    def losses(at: torch.Tensor) -> torch.Tensor:
        return (at @ gradients.T + bent * (each(at) - at @ GRADIENTS.T))[:, :, None]

    def slope(at: torch.Tensor) -> torch.Tensor:
        return gradients.mean(0) + bent * at @ CURVATURES.mean(0)

    products = derivatives(gaussian, slope, losses, draws=draws)
    return of_products(products, SHARE, localization)


def test_quadratics_have_their_closed_form() -> None:
    flat = replace(CHOSEN, nbeta=0.0)
    kernel = exact(flat)[1]
    truth = kernel.mean() - kernel.mean(0)
    found = on_quadratics(4000, flat.localization)
    assert abs(z(found, truth)).max() < 4.5
    assert abs(z(found, 1.2 * truth)).max() > 4.5  # the control
    far = abs(z(found, truth * flat.localization / 6)).max()
    assert far > 4.5  # another localization


def test_one_draw_is_exact_where_all_is_linear() -> None:
    tilted = GRADIENTS + 1  # without the shift phi would not move at all
    found = on_quadratics(8, CHOSEN.localization, tilted, bent=0.0)
    kernel = (tilted @ tilted.T).numpy() / CHOSEN.localization
    np.testing.assert_allclose(found.value.values[:, 0], kernel.mean() - kernel.mean(0), rtol=1e-8)
    assert found.se.max() < 1e-9


@pytest.mark.parametrize("restriction", ["L0H1", "L1H2", "L0H1+unembed"])
def test_a_model_has_those_of_chains_without_the_loss(restriction: str) -> None:
    model, chosen = make_model(1), replace(SHORT, nbeta=0.0, lr=5e-3, num_chains=12, num_draws=160, num_burnin=8)
    sample = {"settings": chosen, "seed": 0, "kernel": leimkuhler_matthews}
    trace = engine.sample(model, TOKENS, [restriction], probes=PROBES, **sample)
    of_chains = susceptibility.susceptibilities(*trace.values())
    (found,) = noise_susceptibilities(model, [restriction], PROBES, settings=chosen, seed=1, draws=100).values()
    both = np.hypot(of_chains.se, found.se)
    off = abs((found.value - of_chains.value) / both)
    assert off.max() < 4.5 and 0.6 < float((off**2).mean()) < 1.6
    passes = chosen.num_chains * trace[restriction].attrs["probe_draws"] / (5 * 100)  # a gradient is worth three
    assert float((of_chains.se / found.se).median()) ** 2 * passes > 4
    assert abs((found.value + of_chains.value) / both).max() > 4.5  # the control: the other sign


def test_both_paths_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model(1)
    found = noise_susceptibilities(model, ["L1H0"], PROBES, settings=SHORT, seed=0, draws=8)["L1H0"]
    monkeypatch.setattr(noise_susceptibility.engine, "general_because", lambda *arguments: {"L1H0": "asked for"})
    general = noise_susceptibilities(model, ["L1H0"], PROBES, settings=SHORT, seed=0, draws=8)["L1H0"]
    np.testing.assert_allclose(found.value, general.value, atol=1e-6)
    assert abs(found.value).max() > 1e-4


def test_chains_add_what_the_loss_changes() -> None:
    flat = replace(CHOSEN, nbeta=0.0)
    near = replace(CHOSEN, nbeta=0.2, lr=0.05)
    trace, control = traced(near), traced(replace(near, nbeta=0.0))
    noise = on_quadratics(4000, flat.localization)
    found = with_chains(noise, trace, control)
    truth = exact(near)[1].mean() - exact(near)[1].mean(0)
    assert abs(z(found, truth)).max() < 5
    assert abs(z(noise, truth)).max() > 5  # the control: without what the loss changes
    alone = susceptibility.susceptibilities(trace)
    assert float((alone.se / found.se).median()) > 1.15
    with pytest.raises(ValueError, match="seed and sampler, and nbeta 0"):
        with_chains(noise, trace, traced(replace(near, nbeta=0.0), seed=1))
    with pytest.raises(ValueError, match="seed and sampler, and nbeta 0"):
        with_chains(noise, trace, trace)


def test_what_cannot_be_drawn_is_refused() -> None:
    model = make_model(1)
    for changes, draws, words in (({"localization": 0.0}, 8, "no Gaussian to draw from"), ({}, 4, "needs 8 at least")):
        with pytest.raises(ValueError, match=words):
            noise_susceptibilities(model, "L0H1", PROBES, settings=replace(SHORT, **changes), seed=0, draws=draws)
