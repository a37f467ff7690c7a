"""Conductance of edges: complete at every cut of the model, and EAP where the model is linear."""

import numpy as np
import pytest
import torch

from ablations.paths import VIAS, Path
from circuits.attributions.ceap import ceap
from circuits.attributions.eap import eap
from circuits.attributions.eap_ig_inputs import eap_ig_inputs
from circuits.discover import candidates, exact
from tests.circuits.attributions.test_attributions import made, task
from tests.conftest import PYTHIA


def cut(cfg, layer: int) -> list[Path]:
    """All edges that what a layer reads flows through: into its heads, and past them to the output."""
    before = ["embed", *((earlier, head) for earlier in range(layer) for head in range(cfg.n_heads))]
    past = [Path(source, "output") for source in before]
    if layer == cfg.n_layers:
        return past
    return [Path(source, (layer, head), via) for source in before for head in range(cfg.n_heads) for via in VIAS] + past


@pytest.mark.parametrize("layer", [1, 2])
def test_conductances_at_a_cut_sum_to_the_whole_difference(layer: int) -> None:
    """Biases and positions do not move: they have none. The error of trapezoids falls fourfold with twice the steps."""
    weights, cfg = made()
    effects = {steps: ceap(weights, cfg, task(), cut(cfg, layer), steps=steps) for steps in (20, 40, 120)}
    whole = effects[120].corrupted - effects[120].clean
    few, more, many = (abs(one.effect.sum(0) - whole) for one in effects.values())
    assert many.max() < 5e-3 < 0.1 < abs(whole).max()
    assert few.sum() > 3 * more.sum() > 3 * 6 * many.sum()
    control = eap_ig_inputs(weights, cfg, task(), cut(cfg, layer), steps=60).effect.sum(0)
    assert abs(control - whole).max() > 0.05  # the mean gradient with the whole change is not complete
    missing = ceap(weights, cfg, task(), cut(cfg, layer)[1:], steps=60).effect.sum(0)
    assert abs(missing - whole).max() > 0.05  # nor is a cut with a hole


def linear(queries: float):
    """Without norms, and with patterns that do not move where queries are 0."""
    weights, cfg = made(normalization_type=None)
    for layer in range(cfg.n_layers):
        for name in ("W_Q", "b_Q"):
            weights[f"blocks.{layer}.attn.{name}"] = queries * weights[f"blocks.{layer}.attn.{name}"]
    return weights, cfg


def test_in_a_linear_model_it_is_eap_and_exact() -> None:
    weights, cfg = linear(0.0)
    by_conductance, by_gradient, true = (
        run(weights, cfg, task(), candidates(cfg)).effect for run in (ceap, eap, exact)
    )
    assert abs(true).max() > 0.1
    np.testing.assert_allclose(by_conductance, by_gradient, atol=1e-9)
    np.testing.assert_allclose(by_conductance, true, atol=1e-9)
    weights, cfg = linear(1.0)  # the control
    by_conductance, by_gradient = (run(weights, cfg, task(), candidates(cfg)).effect for run in (ceap, eap))
    assert abs(by_conductance - by_gradient).max() > 1e-2


def test_mlps_stay_on_the_way() -> None:
    """They are no sources: the cut at the output misses what they write, and that alone."""
    weights, cfg = made(**PYTHIA)
    last = cut(cfg, cfg.n_layers)
    found = ceap(weights, cfg, task(), last, steps=60)
    assert abs(found.effect.sum(0) - (found.corrupted - found.clean)).max() > 0.05
    silent = weights | {name: torch.zeros_like(weights[name]) for name in weights if name.endswith("mlp.W_out")}
    found = ceap(silent, cfg, task(), last, steps=60)
    assert abs(found.effect.sum(0) - (found.corrupted - found.clean)).max() < 2e-2


def test_steps_are_needed() -> None:
    weights, cfg = made()
    with pytest.raises(ValueError, match="at least one gradient"):
        ceap(weights, cfg, task(), [Path("embed", "output")], steps=0)
