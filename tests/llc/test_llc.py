"""The estimator against exact values, engines against each other, restrictions, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ablations import attention
from llc import closed_form, engine, losses, restrict
from llc.chains import Recorder, Trace, minibatches, sample
from llc.estimate import llc
from llc.settings import PAPER, QUICK, Settings
from tests.conftest import make_model

SHORT = Settings(
    "SHORT", lr=1e-3, nbeta=30.0, localization=200.0, batch_size=4, num_chains=2, num_draws=8, num_burnin=2
)


def quadratic_trace(curvatures: np.ndarray, settings: Settings, noise: float, seed: int) -> Trace:
    """Chains on a quadratic loss whose minibatches add a gradient noise and a common loss shift."""
    h = torch.from_numpy(curvatures)
    generator = np.random.default_rng(seed)
    recorder = Recorder("quadratic", torch.zeros(len(h), dtype=torch.float64), settings, seed)
    for _ in range(settings.num_draws):
        pull, shift = torch.from_numpy(noise * generator.normal(size=len(h))), 100 * noise * generator.normal()

        def loss_and_gradient(
            w: torch.Tensor, batch: torch.Tensor, pull=pull, shift=shift
        ) -> tuple[float, torch.Tensor]:
            return float((h * w * w).sum() / 2 + pull @ w) + shift, h * w + pull

        recorder.draw(shift, torch.zeros(1, 1, dtype=torch.int64), loss_and_gradient)
    return recorder.trace()


def test_estimate_reaches_the_stationary_value_of_the_discretised_chain() -> None:
    settings = Settings(
        "TEST", lr=2e-3, nbeta=30.0, localization=200.0, batch_size=1, num_chains=4, num_draws=4000, num_burnin=50
    )
    curvatures = np.geomspace(0.3, 30, 12)
    truth = closed_form.quadratic(curvatures, settings)
    found = llc(quadratic_trace(curvatures, settings, 0.0, seed=0), settings)
    assert abs(found.value - truth) / found.se < 4
    assert found.se / truth < 0.02
    assert abs(found.virial - 1) < 0.02
    assert found.rhat < 1.02
    # negative controls: continuous time, another temperature, and a step twice as large all miss the estimate
    continuous = closed_form.quadratic(curvatures, replace(settings, lr=1e-9))
    for wrong in (continuous, closed_form.quadratic(curvatures, replace(settings, nbeta=33.0)), truth * 1.1):
        assert abs(found.value - wrong) / found.se > 4


def test_paired_estimate_is_free_of_the_shared_minibatch_noise() -> None:
    settings = Settings(
        "TEST", lr=1e-3, nbeta=30.0, localization=200.0, batch_size=1, num_chains=4, num_draws=600, num_burnin=50
    )
    curvatures = np.geomspace(0.3, 30, 12)
    paired = quadratic_trace(curvatures, settings, 0.01, seed=1)
    unpaired = paired._replace(center_loss=np.full_like(paired.center_loss, paired.center_loss.mean()))
    assert llc(unpaired, settings).se > 5 * llc(paired, settings).se


def test_virial_betrays_a_chain_that_has_not_converged() -> None:
    settings = Settings(
        "TEST", lr=1e-4, nbeta=30.0, localization=10.0, batch_size=1, num_chains=4, num_draws=30, num_burnin=0
    )
    trace = quadratic_trace(np.full(50, 0.01), settings, 0.0, seed=0)
    assert llc(trace, settings).virial < 0.5


def test_error_counts_chains_that_share_minibatches_once() -> None:
    """Two chains that are one and the same know no more than one."""
    settings = replace(QUICK, num_draws=200, num_burnin=0)
    one = np.random.default_rng(0).normal(size=(1, 200))
    trace = Trace(np.repeat(one, 2, axis=0), np.zeros(200), np.ones((2, 200)), np.ones((2, 200)), 1)
    single = trace._replace(loss=one, virial=np.ones((1, 200)), distance=np.ones((1, 200)))
    assert llc(trace, settings).se == pytest.approx(llc(single, settings).se)


def test_a_diverged_chain_makes_the_estimate_nan_unless_dropped() -> None:
    settings = Settings(
        "TEST", lr=1e-3, nbeta=30.0, localization=200.0, batch_size=1, num_chains=2, num_draws=50, num_burnin=5
    )
    trace = quadratic_trace(np.array([1.0, 2.0]), settings, 0.0, seed=0)
    dead = trace._replace(loss=np.where(np.arange(2)[:, None] == 1, np.nan, trace.loss))
    assert np.isnan(llc(dead, settings).value)
    assert llc(dead, settings).bad_chains == 1
    alive = llc(dead, settings, drop_bad_chains=True)
    assert alive.value == pytest.approx(settings.nbeta * (trace.loss[0, 5:] - trace.center_loss[5:]).mean())
    unstable = quadratic_trace(np.array([1e6]), replace(settings, num_draws=400), 0.0, seed=0)
    assert llc(unstable, settings).bad_chains == 2
    with pytest.raises(ValueError, match="unstable"):
        closed_form.quadratic(np.array([1e6]), settings)


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_engine_equals_the_general_path(layer: int) -> None:
    model = make_model(1, n_layers=3)
    tokens = torch.randint(50, (9, 12), generator=torch.Generator().manual_seed(2))
    weights = attention.weights_of(model)
    fast = engine.sample_heads(model, tokens, [(layer, 0), (layer, 2)], settings=SHORT, seed=3)
    for head, trace in fast.items():
        restriction = restrict.parse(f"L{head[0]}H{head[1]}", weights, model.cfg)
        slow = sample(model, tokens, restriction, loss=losses.next_token(model), settings=SHORT, seed=3)
        np.testing.assert_allclose(trace.loss, slow.loss, rtol=1e-5)
        np.testing.assert_allclose(trace.center_loss, slow.center_loss, rtol=1e-5)
        np.testing.assert_allclose(trace.distance, slow.distance, rtol=1e-4)
        other = sample(model, tokens, restriction, loss=losses.next_token(model), settings=SHORT, seed=4)
        assert np.abs(other.loss - slow.loss).max() > 1e-3


def test_a_heads_trace_does_not_depend_on_its_company() -> None:
    model = make_model(1)
    tokens = torch.randint(50, (9, 12), generator=torch.Generator().manual_seed(2))
    alone = engine.sample_heads(model, tokens, [(1, 2)], settings=SHORT, seed=0)[1, 2]
    together = engine.sample_heads(model, tokens, [(1, 0), (1, 2)], settings=SHORT, seed=0)[1, 2]
    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))


def test_a_model_with_mlps_goes_the_general_way() -> None:
    model = make_model(attn_only=False, act_fn="gelu", d_mlp=16, positional_embedding_type="rotary", rotary_dim=6)
    tokens = torch.randint(50, (9, 12), generator=torch.Generator().manual_seed(2))
    weights = {name: parameter.detach() for name, parameter in model.named_parameters()}
    before = {name: weight.clone() for name, weight in weights.items()}
    trace = sample(
        model,
        tokens,
        restrict.parse("L0H1+unembed", weights, model.cfg),
        loss=losses.next_token(model),
        settings=SHORT,
        seed=0,
    )
    assert np.isfinite(trace.loss).all()
    assert (trace.loss[:, 0] == trace.center_loss[0]).all()
    assert all(torch.equal(before[name], weight) for name, weight in model.named_parameters())


def test_restrictions_select_and_put_back(model) -> None:
    weights = attention.weights_of(model)
    head = restrict.parse("1:2", weights, model.cfg)
    assert head.name == "L1H2"
    flat = head.flat(weights)
    assert flat.numel() == 4 * 24 * 6 + 3 * 6
    moved = head.put(weights, flat + 1)
    for name, weight in weights.items():
        changed = (moved[name] != weight).flatten(1).any(1) if weight.ndim > 1 else (moved[name] != weight).any()
        mine = name.startswith("blocks.1.attn") and not name.endswith("b_O") and weight.ndim > 1
        expected = [False, False, mine] if mine else [False]
        assert changed.flatten().tolist() == expected or (not mine and not changed.any()), name
    assert torch.equal(head.flat(head.put(weights, flat * 2)), flat * 2)
    full = restrict.parse("full", weights, model.cfg)
    assert full.flat(weights).numel() == sum(w.numel() for w in weights.values())
    assert restrict.parse("L1", weights, model.cfg).flat(weights).numel() == 3 * flat.numel()
    union = restrict.parse("L0H1+embed", weights, model.cfg)
    assert union.flat(weights).numel() == flat.numel() + weights["embed.W_E"].numel()
    for wrong in ("L1H2+1:2", "L7H0", "nonsense", "L1+L1H0"):
        with pytest.raises(ValueError, match=r"restriction|twice"):
            restrict.parse(wrong, weights, model.cfg)


def test_bad_inputs_are_named(model) -> None:
    weights = attention.weights_of(model)
    restriction, loss = restrict.parse("L0H0", weights, model.cfg), losses.next_token(model)
    with pytest.raises(ValueError, match="no rows"):
        sample(model, torch.zeros(0, 5, dtype=torch.int64), restriction, loss=loss, settings=SHORT, seed=0)
    with pytest.raises(ValueError, match="outside the vocabulary"):
        sample(model, torch.full((2, 5), 50), restriction, loss=loss, settings=SHORT, seed=0)
    with torch.no_grad():
        model.W_E[0, 0] = float("nan")
    with pytest.raises(ValueError, match="not finite"):
        engine.sample_heads(model, torch.zeros(2, 5, dtype=torch.int64), [(0, 0)], settings=SHORT, seed=0)
    with pytest.raises(ValueError, match="num_draws=10"):
        replace(PAPER, num_draws=10)


def test_minibatches_depend_on_the_seed_alone() -> None:
    assert np.array_equal(minibatches(100, SHORT, 0), minibatches(100, SHORT, 0))
    assert not np.array_equal(minibatches(100, SHORT, 0), minibatches(100, SHORT, 1))
