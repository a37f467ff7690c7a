"""The functional forward equals HookedTransformer's own."""

import pytest
import torch

from ablations import forward, rerun
from tests.conftest import make_model


@pytest.mark.parametrize("norm", ["LN", "LNPre", None])
@pytest.mark.parametrize("positions", ["shortformer", "standard"])
@pytest.mark.parametrize(("n_layers", "n_heads"), [(1, 1), (2, 3), (4, 2)])
def test_logits_equal_the_models_own(norm: str | None, positions: str, n_layers: int, n_heads: int) -> None:
    model = make_model(
        3,
        torch.float64,
        n_layers=n_layers,
        n_heads=n_heads,
        normalization_type=norm,
        positional_embedding_type=positions,
    )
    for length in (1, 2, 17):
        tokens = torch.randint(50, (3, length), generator=torch.Generator().manual_seed(length))
        with torch.no_grad():
            ours = forward.logits(forward.weights_of(model), model.cfg, tokens)
            torch.testing.assert_close(ours, model(tokens), rtol=1e-10, atol=1e-10)


def test_logits_differ_when_a_weight_does(model, tokens) -> None:
    weights = forward.weights_of(model)
    changed = {
        **weights,
        "blocks.1.attn.b_K": weights["blocks.1.attn.b_K"] + 1.0,
    }  # positions are on keys: it matters not
    moved = {**weights, "blocks.1.attn.b_Q": weights["blocks.1.attn.b_Q"] + 1.0}
    own = forward.logits(weights, model.cfg, tokens)
    torch.testing.assert_close(forward.logits(changed, model.cfg, tokens), own, rtol=1e-4, atol=1e-5)
    assert (forward.logits(moved, model.cfg, tokens) - own).abs().max() > 1e-2


def test_token_losses_are_cross_entropies(model, tokens) -> None:
    clean = rerun.clean_run(forward.weights_of(model), model.cfg, tokens)
    ours = forward.token_losses(forward.weights_of(model), model.cfg, clean.residuals[-1], tokens)
    torch.testing.assert_close(ours, model(tokens, return_type="loss", loss_per_token=True), rtol=1e-5, atol=1e-5)


def test_patterns_and_z_equal_the_cache(model, tokens) -> None:
    _, cache = model.run_with_cache(tokens)
    weights = forward.weights_of(model)
    clean = rerun.clean_run(weights, model.cfg, tokens)
    for layer in range(2):
        read, heads = (
            forward.readings(weights, model.cfg, layer, clean.residuals[layer]),
            forward.head_weights(weights, layer),
        )
        query = forward.project(read.query, heads.W_Q, heads.b_Q)
        key = forward.project(read.key, heads.W_K, heads.b_K)
        found = forward.patterns(query, key, model.cfg.attn_scale)
        torch.testing.assert_close(found, cache["pattern", layer], rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(clean.z[layer], cache["z", layer], rtol=1e-4, atol=1e-5)


def test_bf16_attention_is_fp32_attention_rounded() -> None:
    generator = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(2, 13, 3, 8, generator=generator) for _ in range(3))
    exact = forward.attend(query, key, value, 2.0)
    rounded = forward.attend(query.bfloat16(), key.bfloat16(), value.bfloat16(), 2.0).float()
    assert (exact - rounded).abs().max() < 0.05
    assert (exact - forward.attend(query, key, value, 4.0)).abs().max() > 0.05


def test_residual_is_the_sum_of_its_parts() -> None:
    model = make_model(1, torch.float64)
    tokens = torch.randint(50, (2, 9), generator=torch.Generator().manual_seed(0))
    weights = forward.weights_of(model)
    clean = rerun.clean_run(weights, model.cfg, tokens)
    parts = forward.embed(weights, model.cfg, tokens)
    for layer in range(2):
        parts = (
            parts
            + forward.write(clean.z[layer], weights[f"blocks.{layer}.attn.W_O"])
            + weights[f"blocks.{layer}.attn.b_O"]
        )
    torch.testing.assert_close(parts, clean.residuals[-1], rtol=1e-10, atol=1e-10)


def test_unsupported_models_are_refused(model, tokens) -> None:
    with pytest.raises(ValueError, match="scores that are not scaled"):
        forward.weights_of(make_model(use_attn_scale=False))
    with pytest.raises(ValueError, match="context of 20"):
        forward.logits(forward.weights_of(model), model.cfg, tokens.repeat(1, 2))
