"""Gradient estimates of path effects: exact where a model is linear in what moves, by hand elsewhere, and compared."""

import numpy as np
import pytest
import torch

from ablations import forward
from ablations.paths import Path
from circuits import planted
from circuits.attributions import gradients as grads
from circuits.attributions.atp_star import atp_star
from circuits.attributions.changes import runs
from circuits.attributions.compare import EXACT, METHODS, compare
from circuits.attributions.eap import eap
from circuits.attributions.eap_ig_activations import eap_ig_activations
from circuits.attributions.eap_ig_inputs import eap_ig_inputs
from circuits.attributions.gim import RULES as GIM
from circuits.attributions.gradients import Rules
from circuits.discover import candidates, exact
from circuits.tasks import Task, logit_difference
from tests.conftest import GPT2, make_model


def task(vocab: int = 50, length: int = 8, prompts: int = 6) -> Task:
    drawn = torch.Generator().manual_seed(0)
    clean, corrupted = torch.randint(vocab, (2, prompts, length), generator=drawn)
    right, wrong = torch.randint(vocab, (2, prompts), generator=drawn)
    return Task("made", clean, corrupted, right, wrong)


def made(**changes: object):
    model = make_model(1, torch.float64, **changes)
    return forward.weights_of(model), model.cfg


@pytest.mark.parametrize("method", [name for name in METHODS if name not in ("GIM", "AtP*")])
def test_paths_to_the_output_without_a_norm_are_exact(method: str) -> None:
    weights, cfg = made(normalization_type=None)
    paths = [Path((layer, head), "output") for layer in (0, 1) for head in range(cfg.n_heads)]
    found, true = (run(weights, cfg, task(), paths) for run in (METHODS[method], exact))
    np.testing.assert_allclose(found.effect, true.effect, rtol=1e-6, atol=1e-9)
    into = [Path((0, head), (1, head), "k") for head in range(cfg.n_heads)]  # the control: not linear
    assert (
        abs(METHODS["EAP"](weights, cfg, task(), into).effect - exact(weights, cfg, task(), into).effect).max() > 1e-3
    )


def test_values_without_a_norm_are_exact_and_queries_are_with_their_pattern() -> None:
    weights, cfg = made(normalization_type=None)
    last = cfg.n_layers - 1  # nothing but the output reads it, so what a head gives counts linearly
    for via in "qkv":
        paths = [Path((0, source), (last, head), via) for source in range(3) for head in range(3)]
        true = exact(weights, cfg, task(), paths).effect
        corrected = atp_star(weights, cfg, task(), paths, drop=False).effect
        np.testing.assert_allclose(corrected, true, rtol=1e-6, atol=1e-9)
        if via != "v":
            assert abs(eap(weights, cfg, task(), paths).effect - true).max() > 1e-3


def test_many_steps_along_the_inputs_give_the_whole_effect_of_the_embedding() -> None:
    """The fundamental theorem: gradients along the way sum to the difference of both runs."""
    weights, cfg = made(n_layers=1)
    paths = [path for path in candidates(cfg) if path.source == "embed"]
    of = runs(weights, cfg, task(), paths, logit_difference)
    whole = (of.ends[1] - of.ends[0]).double().numpy()
    many = eap_ig_inputs(weights, cfg, task(), paths, steps=400).effect.sum(0)
    few = eap_ig_inputs(weights, cfg, task(), paths, steps=1).effect.sum(0)
    np.testing.assert_allclose(many, whole, rtol=0.02, atol=0.02 * abs(whole).max())
    assert abs(few - whole).max() > 5 * abs(many - whole).max()


def test_many_steps_along_activations_give_the_effect_of_a_layer() -> None:
    weights, cfg = made(n_layers=1)
    paths = [Path((0, head), "output") for head in range(cfg.n_heads)]
    of = runs(weights, cfg, task(), paths, logit_difference)
    with torch.no_grad():
        moved = of.clean.residuals[1] + sum(of.change((0, head)) for head in range(cfg.n_heads))
        whole = of.of_logits(forward.unembed(weights, cfg, moved)) - of.ends[0]
    many = eap_ig_activations(weights, cfg, task(), paths, steps=400).effect.sum(0)
    np.testing.assert_allclose(many, whole.double().numpy(), rtol=0.02, atol=1e-2)
    assert abs(eap(weights, cfg, task(), paths).effect.sum(0) - whole.double().numpy()).max() > 0.05


def test_rules_change_derivatives_and_never_the_run() -> None:
    weights, cfg = made(**GPT2)
    of = runs(weights, cfg, task(), [Path("embed", "output")], logit_difference)
    seen = []

    def metric(logits: torch.Tensor) -> torch.Tensor:
        seen.append(of.of_logits(logits).detach())
        return of.of_logits(logits)

    rules = (grads.TRUE, GIM, Rules(linear_activations=True), Rules(without_layer=0), Rules(temperature=2.0))
    found = [grads.gradients(weights, cfg, of.clean.residuals[0], metric, one) for one in rules]
    for run in seen[1:]:
        torch.testing.assert_close(run, seen[0], rtol=1e-9, atol=1e-9)
    for one in found[1:]:
        assert any(abs(one[name] - found[0][name]).max() > 1e-6 for name in one)
    dropped = found[3]
    assert all(abs(dropped[0, via]).max() == 0 for via in "qkv") and abs(dropped[1, "v"]).max() > 0


def test_the_softmax_at_a_temperature_is_that_of_the_authors() -> None:
    scores = torch.randn(3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    weight = torch.randn(3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    pattern = grads._Softened.apply(scores, 2.0)
    (own,) = torch.autograd.grad((pattern * weight).sum(), scores)
    torch.testing.assert_close(pattern.detach(), scores.detach().softmax(-1))
    halved = (scores.detach() / 2).requires_grad_(True)
    (expected,) = torch.autograd.grad((halved.softmax(-1) * weight).sum(), halved)
    torch.testing.assert_close(own, expected)
    (true,) = torch.autograd.grad((scores.softmax(-1) * weight).sum(), scores)
    assert abs(own - true).max() > 1e-2


@pytest.fixture(scope="module")
def compared():
    plant = planted.induction(noise=0.05)
    weights, cfg = forward.weights_of(plant.model), plant.model.cfg
    table = compare(weights, cfg, plant.tasks[0])
    return table, np.array([path in plant.edges[0] for path in candidates(cfg)])


def test_every_method_stands_beside_the_exact_effects(compared) -> None:
    table, true = compared
    assert table.estimator.values.tolist() == [EXACT, *METHODS]
    assert table.rank_correlation[0] == pytest.approx(1) and not table.off[0].any()
    assert table.off[1:].any() and (table.seconds > 0).all()
    order = np.argsort(-abs(table.effect.sel(estimator=EXACT).values))[:3]
    assert set(order.tolist()) == set(np.flatnonzero(true).tolist())
    saturated = table.sel(estimator=["EAP", "AtP, queries and keys"]).correlation.values
    assert saturated[1] > saturated[0]  # the planted pattern is saturated: its gradient is small


def test_linear_estimates_that_are_off_are_flagged(compared) -> None:
    table, true = compared
    off = table.off.sel(estimator="EAP").values
    assert off[true].all() and table.flag.values[true].all()
    assert not table.flag.values.all()  # the control
    np.testing.assert_array_equal(table.flag, table.second_order > 0.2)
    assert float(table.flag_seconds) > 0


def test_bad_calls_are_refused() -> None:
    weights, cfg = made()
    with pytest.raises(ValueError, match="choose from EAP, EAP-IG"):
        compare(weights, cfg, task(), methods=["EAP", "guess"])
    for method in (eap_ig_inputs, eap_ig_activations):
        with pytest.raises(ValueError, match="at least one gradient"):
            method(weights, cfg, task(), [Path("embed", "output")], steps=0)
