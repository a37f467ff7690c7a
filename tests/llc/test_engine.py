"""Sampling a model: engines against each other, what may and may not change, losses, observables."""

import numpy as np
import pytest
import torch
import xarray as xr

from ablations import forward
from experiments import runs
from llc import engine, head_loss, losses, mala, rmsprop
from llc.chains import Observable, minibatches, one_by_one, sample
from llc.estimate import learning_coefficient
from llc.minibatch import Minibatch, Room
from llc.restrict import parse
from tests.conftest import GPT2, PYTHIA, hooked_only, make_model
from tests.llc.conftest import SHORT, settings

pytestmark = pytest.mark.both_majors


def tokens_of(rows: int = 9, seed: int = 2) -> torch.Tensor:
    return torch.randint(50, (rows, 12), generator=torch.Generator().manual_seed(seed))


def general(
    model, restriction: str = "L0H1", loss=None, tokens=None, seed: int = 3, chosen=SHORT, **more
) -> xr.Dataset:
    weights = {name: parameter.detach() for name, parameter in model.named_parameters()}
    return sample(
        model,
        tokens_of() if tokens is None else tokens,
        parse(restriction, weights, model.cfg),
        loss=loss or losses.next_token(),
        settings=chosen,
        seed=seed,
        **more,
    )


def reference_losses() -> dict[str, losses.Loss]:
    weights = torch.linspace(0, 2, 9 * 11).view(9, 11)
    return {
        "next": losses.next_token(),
        "weighted": losses.weighted(weights, "ramp"),
        "kl": losses.kl_to(make_model(5, n_layers=1)),
        "function": losses.function("mean logit", lambda predictions, tokens: predictions[..., 0].mean()),
    }


@pytest.mark.parametrize("layer", [0, 1, 2])
@pytest.mark.parametrize("loss", reference_losses().values(), ids=reference_losses())
def test_paths_give_the_same_chains(layer: int, loss: losses.Loss) -> None:
    model, names = make_model(1, n_layers=3), [f"L{layer}H0", f"L{layer}H2"]
    fast = engine.sample(model, tokens_of(), names, settings=SHORT, seed=3, loss=loss)
    for name, trace in fast.items():
        whole = "general: the loss mean logit needs all predictions at once"
        assert trace.attrs["path"] == (whole if loss.name == "mean logit" else "fast, fp32")
        slow = general(model, name, loss)
        xr.testing.assert_allclose(trace, slow, rtol=1e-3, atol=1e-4)
        other = general(model, name, loss, seed=4)
        assert np.abs(other.loss - slow.loss).max() > 1e-3


LLAMA = {"parallel_attn_mlp": False, "normalization_type": "RMS", "gated_mlp": True, "act_fn": "silu"}
MODELS = {
    "LN": {},
    "LNPre": {"normalization_type": "LNPre"},
    "no norm": {"normalization_type": None},
    "standard positions": {"positional_embedding_type": "standard"},
    "one head": {"n_heads": 1},
    "one layer": {"n_layers": 1},
    "four layers": {"n_layers": 4, "normalization_type": "LNPre", "positional_embedding_type": "standard"},
    "one predicted token": {"length": 2},
    "several blocks of queries": {"n_ctx": 200, "length": 150},
    "gpt2": GPT2,
    "gpt2, four layers": GPT2 | {"n_layers": 4, "normalization_type": "LNPre"},
    "pythia": PYTHIA,
    "pythia, four layers": PYTHIA | {"n_layers": 4},
    "gpt-j": PYTHIA | {"rotary_adjacent_pairs": True, "rotary_dim": 4, "act_fn": "gelu_new"},
    "llama": PYTHIA | LLAMA | {"n_layers": 3},
    "parallel, RMS": PYTHIA | LLAMA | {"parallel_attn_mlp": True, "n_layers": 3, "normalization_type": "RMSPre"},
    "rotary": {"positional_embedding_type": "rotary", "rotary_dim": 6, "n_layers": 3},
    "solu": GPT2 | {"act_fn": "solu_ln"},
}
SLOW = ("gpt2, four layers", "pythia, four layers", "gpt-j", "parallel, RMS", "solu")


@pytest.mark.parametrize(
    "overrides",
    [
        pytest.param(overrides, marks=[pytest.mark.slow] if name in SLOW else [], id=name)
        for name, overrides in MODELS.items()
    ],
)
def test_losses_and_gradients_are_exact(overrides: dict) -> None:
    """In double precision, at random places, for every head, in pieces of every size."""
    overrides = {"n_ctx": 20, "length": 12} | overrides
    length = overrides.pop("length")
    model = make_model(1, dtype=torch.float64, **overrides)
    tokens, rows, loss = torch.randint(50, (3, length)), np.arange(3), losses.next_token()
    weights = {name: parameter.detach() for name, parameter in model.named_parameters()}
    for layer in range(model.cfg.n_layers):
        shared = head_loss.prepare_layer(forward.weights_of(model), model.cfg, layer)
        pieces = [Minibatch(shared, tokens, rows, loss, Room(*room)) for room in ((1, 1, False), (2, 3, True))]
        center = loss.mean(model(tokens)[:, :-1], loss.prepare(tokens, rows)).item()
        for head in range(model.cfg.n_heads):
            restriction = parse(f"L{layer}H{head}", weights, model.cfg)
            start = restriction.flat(weights)
            positions = start + 0.1 * torch.randn(4, len(start), dtype=torch.float64)

            def value(position, restriction=restriction):
                logits = torch.func.functional_call(model, restriction.put(weights, position), (tokens,))
                return loss.mean(logits[:, :-1], loss.prepare(tokens, rows))

            losses_, gradients = one_by_one(value, positions)
            for minibatch in pieces:
                assert minibatch.center_loss == pytest.approx(center, rel=1e-12)
                found, slopes = minibatch.evaluate(head, positions)
                torch.testing.assert_close(found, losses_, rtol=1e-11, atol=1e-12)
                torch.testing.assert_close(slopes, gradients, rtol=1e-9, atol=1e-12)
                alone, nothing = minibatch.evaluate(head, positions, gradient=False)
                torch.testing.assert_close(alone, losses_, rtol=1e-11, atol=1e-12)
                assert nothing.isnan().all()
            at_center, _ = pieces[0].evaluate(head, start[None])
            assert at_center.item() == pytest.approx(center, rel=1e-12)
            assert (losses_ - at_center).abs().min() > 1e-6  # the control: it matters where the head is


@hooked_only
def test_other_models_and_restrictions_take_the_general_path() -> None:
    model, tokens = make_model(1), tokens_of()
    found = engine.sample(model, tokens, ["1:2", "L1", "embed+L0H1"], settings=SHORT, seed=0)
    assert {name: trace.attrs["path"] for name, trace in found.items()} == {
        "L1H2": "fast, fp32",
        "L1": "general: not a single head",
        "L0H1+embed": "general: not a single head",
    }
    forced = engine.sample(model, tokens, ["L1H2"], settings=SHORT, seed=0, path="general")["L1H2"]
    assert forced.attrs["path"] == "general: asked for"
    xr.testing.assert_allclose(forced, found["L1H2"], rtol=1e-3, atol=1e-4)
    others = {
        "general: soft caps or scores scaled by layer": {"scale_attn_by_inverse_layer_idx": True},
        "general: scores that are not scaled": GPT2 | {"use_attn_scale": False},
    }
    for reason, overrides in others.items():
        other = make_model(1, **overrides)
        trace = engine.sample(other, tokens, ["L1H2"], settings=SHORT, seed=0)["L1H2"]
        assert trace.attrs["path"] == reason
        assert np.isfinite(trace.loss).all()
        with pytest.raises(ValueError, match="L1H2 cannot take the fast path"):
            engine.sample(other, tokens, ["L1H2"], settings=SHORT, seed=0, path="fast")
    grouped = make_model(1, n_heads=4, n_key_value_heads=2)
    trace = engine.sample(grouped, tokens, ["L1"], settings=SHORT, seed=0)["L1"]
    assert trace.attrs["path"] == "general: grouped keys and values"


def test_memory_changes_rounding_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    model, tokens = make_model(1), tokens_of()

    def chains(**more) -> xr.Dataset:
        return engine.sample(model, tokens, ["L0H1"], settings=SHORT, seed=0, **more)["L0H1"]

    roomy = chains()
    xr.testing.assert_identical(roomy, chains())
    xr.testing.assert_allclose(roomy, chains(memory=1), rtol=1e-3, atol=1e-4)
    asked, whole = [], head_loss.loss

    def short_of_memory(layer, part, others, head):
        asked.append(len(head.weights.W_Q))
        if len(head.weights.W_Q) > limit:
            raise torch.OutOfMemoryError("no room")
        return whole(layer, part, others, head)

    monkeypatch.setattr(head_loss, "loss", short_of_memory)
    limit = 1
    xr.testing.assert_allclose(roomy, chains(), rtol=1e-3, atol=1e-4)
    assert asked[:2] == [2, 1]
    assert set(asked[2:]) == {1}  # it stays with what fits
    limit = 0
    with pytest.raises(torch.OutOfMemoryError):
        chains()


def test_a_heads_trace_does_not_depend_on_its_company() -> None:
    model = make_model(1)
    alone = engine.sample(model, tokens_of(), ["L1H2"], settings=SHORT, seed=0)["L1H2"]
    together = engine.sample(model, tokens_of(), ["L0H1", "L1H0", "L1H2"], settings=SHORT, seed=0)["L1H2"]
    xr.testing.assert_identical(alone, together)


def test_a_trace_says_what_it_is_of() -> None:
    model = make_model(1)
    trace = general(model, kernel=rmsprop)
    assert trace.loss.dims == ("chain", "draw")
    assert trace.attrs["kernel"] == "rmsprop"
    assert trace.attrs["restriction"] == "L0H1"
    assert trace.attrs["dimension"] == 4 * 24 * 6 + 3 * 6
    same = general(model, kernel=rmsprop)
    xr.testing.assert_identical(trace, same)
    others = {
        "weights": general(make_model(2)),
        "data": general(model, tokens=tokens_of(seed=7)),
        "loss": general(model, loss=reference_losses()["kl"]),
        "restriction": general(model, "L1H1"),
        "seed": general(model, seed=5),
        "kernel": general(model),
    }
    for name, other in others.items():
        assert other.attrs[name] != trace.attrs[name]


@pytest.mark.parametrize("restriction", ["L0H1+unembed", "full", "L1", "blocks.0.attn.W_V"])
def test_a_model_with_mlps_goes_the_general_way(restriction: str) -> None:
    model = make_model(attn_only=False, act_fn="gelu", d_mlp=16, positional_embedding_type="rotary", rotary_dim=6)
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    trace = general(model, restriction)
    assert np.isfinite(trace.loss).all()
    assert (trace.loss[:, 0] == trace.center_loss[0]).all()
    assert "key_bias" not in trace  # rotary positions let b_K matter
    assert all(torch.equal(before[name], weight) for name, weight in model.named_parameters())


def test_the_loss_recorded_is_the_models_own() -> None:
    model, tokens = make_model(1), tokens_of()
    trace = general(model, tokens=tokens)
    for draw, rows in enumerate(minibatches(9, SHORT, 3)):
        assert trace.center_loss[draw].item() == pytest.approx(model(tokens[rows], return_type="loss").item(), rel=1e-5)


def test_kl_is_zero_at_its_own_reference_and_its_gradient_is_soft_label_cross_entropy() -> None:
    model, reference, tokens = make_model(1), make_model(5, n_layers=1), tokens_of()
    assert np.abs(general(model, loss=losses.kl_to(model)).center_loss).max() < 1e-5
    loss, rows = losses.kl_to(reference), np.arange(9)
    prepared = loss.prepare(tokens, rows)
    with torch.no_grad():
        ours, theirs = (m(tokens)[:, :-1].log_softmax(-1) for m in (model, reference))
    by_hand = (theirs.exp() * (theirs - ours)).sum(-1).mean()
    predictions = model(tokens)[:, :-1].detach().requires_grad_()
    value = loss.mean(predictions, prepared)
    assert value.item() == pytest.approx(by_hand.item(), rel=1e-5)
    (gradient,) = torch.autograd.grad(value, predictions)
    expected = (predictions.softmax(-1) - theirs.exp()) / (9 * 11)
    torch.testing.assert_close(gradient, expected.detach(), rtol=1e-4, atol=1e-8)
    assert (gradient - (predictions.softmax(-1) - ours.exp()) / 99).abs().max() > 1e-4


def test_per_token_weights() -> None:
    model, tokens = make_model(1), tokens_of()
    ones = general(model, loss=losses.weighted(torch.ones(9, 11), "ones"))
    np.testing.assert_allclose(ones.center_loss, general(model).center_loss, rtol=1e-6)
    doubled = general(model, loss=losses.weighted(2 * torch.ones(9, 11), "twos"))
    np.testing.assert_allclose(doubled.center_loss, 2 * ones.center_loss, rtol=1e-6)
    none = general(model, loss=losses.weighted(torch.zeros(9, 11), "none"))
    assert np.all(none.loss == 0)
    with pytest.raises(ValueError, match="not all finite"):
        losses.weighted(torch.full((9, 11), torch.nan), "bad")
    assert tokens.shape == (9, 12)


def test_mala_sees_the_whole_data_set() -> None:
    trace = general(make_model(1), kernel=mala)
    np.testing.assert_allclose(trace.center_loss, trace.center_loss[0], rtol=1e-6)
    assert general(make_model(1)).center_loss.std() > 0.01
    (fast,) = engine.sample(make_model(1), tokens_of(), ["L0H1"], settings=SHORT, seed=3, kernel=mala).values()
    xr.testing.assert_allclose(trace, fast, rtol=1e-3, atol=1e-4)


def test_observables_are_watched_and_not_felt() -> None:
    model, other = make_model(1), tokens_of(5, seed=8)
    plain = general(model)
    watched = general(
        model,
        observables={
            "same": Observable(losses.next_token(), tokens_of()),
            "elsewhere": Observable(reference_losses()["kl"], other),
        },
    )
    xr.testing.assert_identical(plain, watched.drop_vars(["observable_same", "observable_elsewhere"]))
    assert watched.observable_elsewhere.dims == ("chain", "draw")
    assert (watched.observable_elsewhere[:, 0] == 0).all()
    assert np.abs(watched.observable_elsewhere[:, 3]).min() > 0


def test_minibatches_depend_on_the_seed_alone() -> None:
    assert np.array_equal(minibatches(100, SHORT, 0), minibatches(100, SHORT, 0))
    assert not np.array_equal(minibatches(100, SHORT, 0), minibatches(100, SHORT, 1))


@hooked_only
def test_bad_inputs_are_named(model) -> None:
    with pytest.raises(ValueError, match="no rows"):
        general(model, tokens=torch.zeros(0, 5, dtype=torch.int64))
    with pytest.raises(ValueError, match="token 50 is outside the vocabulary"):
        general(model, tokens=torch.full((2, 5), 50))
    with pytest.raises(ValueError, match="token -1 is outside"):
        general(model, observables={"o": Observable(losses.next_token(), torch.full((2, 5), -1))})
    with torch.no_grad():
        model.W_E[0, 0] = float("nan")
    with pytest.raises(ValueError, match=r"embed.W_E is not finite"):
        engine.sample(model, torch.zeros(2, 5, dtype=torch.int64), ["L0H0"], settings=SHORT, seed=0)
    with pytest.raises(ValueError, match="can run"):
        forward.weights_of(make_model(n_key_value_heads=1))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("name", ["L0H1", "L1H2"])
def test_a_gpu_gives_the_same_chains(name: str) -> None:
    model = make_model(1)
    here = engine.sample(model, tokens_of(), [name], settings=SHORT, seed=0)[name]
    there = engine.sample(model.to("cuda"), tokens_of(), [name], settings=SHORT, seed=0)[name]
    xr.testing.assert_allclose(here, there, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("name", ["L0H5", "L1H4"])
def test_bf16_changes_a_trained_heads_llc_by_less_than_its_error(name: str) -> None:
    run = runs.open_run("mini-seed0")
    model, tokens = run.model(run.steps[-1]), torch.randint(1024, (16, 64), generator=torch.Generator().manual_seed(0))
    chosen = settings(batch_size=4, num_chains=2, num_draws=24, num_burnin=8)
    exact, rounded = (
        engine.sample(model, tokens, [name], settings=chosen, seed=0, precision=precision)[name]
        for precision in ("fp32", "bf16")
    )
    assert rounded.attrs["path"] == "fast, bf16"
    assert not np.array_equal(exact.loss, rounded.loss)
    assert (
        abs(learning_coefficient(exact).value - learning_coefficient(rounded).value)
        < 0.2 * learning_coefficient(exact).se
    )
    xr.testing.assert_allclose(exact, general(model, name, tokens=tokens, chosen=chosen, seed=0), rtol=1e-2, atol=1e-3)
