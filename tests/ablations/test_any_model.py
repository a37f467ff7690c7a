"""Models with MLPs, rotary positions and other norms as pure functions: equal to their own forward and hooks."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ablations import changed_losses, closeup, effects, forward, heads, rerun, substitutes
from ablations.changes import Change, change_name, parse_change
from ablations.models import Model
from ablations.paths import cut
from tests.conftest import GPT2, PYTHIA, hooked_only, make_model

TOKENS = torch.randint(50, (6, 12), generator=torch.Generator().manual_seed(1))
OTHERS = TOKENS.flip(0)

KINDS: dict[str, dict] = {
    "gpt2": GPT2,
    "pythia": PYTHIA,
    "pythia, folded": PYTHIA | {"normalization_type": "LNPre"},
    "gpt-j": PYTHIA | {"rotary_dim": 4, "rotary_adjacent_pairs": True, "act_fn": "gelu_fast"},
    "llama": PYTHIA
    | {"rotary_dim": 6, "parallel_attn_mlp": False, "normalization_type": "RMS"}
    | {"gated_mlp": True, "act_fn": "silu"},
    "llama, folded": PYTHIA | {"rotary_dim": 6, "normalization_type": "RMSPre", "gated_mlp": True, "act_fn": "silu"},
    "solu": GPT2 | {"act_fn": "solu_ln"},
    "solu, folded": GPT2 | {"act_fn": "solu_ln", "normalization_type": "LNPre"},
    "no norms": GPT2 | {"normalization_type": None, "act_fn": "relu"},
    "rotary": {"positional_embedding_type": "rotary", "rotary_dim": 6, "rotary_base": 100},
    "three layers": PYTHIA | {"n_layers": 3},
}
every_kind = pytest.mark.parametrize("kind", KINDS)


def made(kind: str, **more: object) -> Model:
    """Of this kind, with its norms' weights moved from 1."""
    model = make_model(0, **(KINDS[kind] | more))
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".ln" in name or name.startswith("ln_"):
                parameter += 0.3 * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
    return model


@every_kind
def test_functions_equal_the_models_own_forward(kind: str) -> None:
    model = made(kind)
    weights, cfg = forward.weights_of(model), model.cfg
    with torch.no_grad():
        logits, cache = model.run_with_cache(TOKENS)
        clean = rerun.clean_run(weights, cfg, TOKENS)
    torch.testing.assert_close(forward.logits(weights, cfg, TOKENS), logits, rtol=1e-4, atol=1e-4)
    for layer in range(cfg.n_layers):
        torch.testing.assert_close(clean.z[layer], cache["z", layer], rtol=1e-4, atol=1e-5)
        patterns = rerun.patterns(weights, cfg, clean, layer)
        torch.testing.assert_close(patterns, cache["pattern", layer], rtol=1e-4, atol=1e-5)
    last = forward.last_residual(weights, cfg, TOKENS)
    torch.testing.assert_close(last[:, 0], clean.residuals[-1][:, -1], rtol=1e-4, atol=1e-5)
    attn = "blocks.1.attn.W_Q"
    other = forward.logits({**weights, attn: 1.1 * weights[attn]}, cfg, TOKENS)
    assert (other - logits).abs().max() > 1e-3, "negative control: other queries"


@pytest.mark.parametrize("without", ["blocks.0.mlp.W_out", "blocks.1.mlp.b_in", "blocks.1.ln2.w"])
@pytest.mark.parametrize("kind", ["gpt2", "pythia", "llama"])
def test_every_weight_of_an_mlp_counts(kind: str, without: str) -> None:
    model = made(kind)
    weights = forward.weights_of(model)
    other = {**weights, without: torch.randn(weights[without].shape, generator=torch.Generator().manual_seed(3))}
    found = forward.logits(other, model.cfg, TOKENS)
    assert (found - forward.logits(weights, model.cfg, TOKENS)).abs().max() > 1e-2
    with torch.no_grad():
        dict(model.named_parameters())[without].copy_(other[without])
        torch.testing.assert_close(found, model(TOKENS), rtol=1e-4, atol=1e-4)


def test_rotary_tables_are_asked_for() -> None:
    model = made("pythia")
    with pytest.raises(ValueError, match=r"no rotary.sin among the weights.*take them by weights_of"):
        forward.logits(dict(model.named_parameters()), model.cfg, TOKENS)
    swapped = forward.weights_of(model)
    swapped[forward.SIN], swapped[forward.COS] = swapped[forward.COS], swapped[forward.SIN]
    with torch.no_grad():
        assert (forward.logits(swapped, model.cfg, TOKENS) - model(TOKENS)).abs().max() > 1e-3


CHANGES = [
    *("L0H1", "L1H2", "L0H0+L1H1", "L0H1->L1H2.k", "L0H1->L1H2.q+embed->L1H2.v", "L0H2->output", "L1H2->output"),
    *("embed->L0H1.q", "L1H0+L1H2->output", "b_O->L1H1.v"),
]


def by_hooks(model: Model, change: Change, values: dict, layer_norm: str) -> torch.Tensor:
    hooks = heads.replace({head: values[head] for head in change.heads})
    if change.cuts:
        hooks = hooks + cut(model, change.cuts, values, layer_norm)  # type: ignore[arg-type]
    return effects.token_losses(model, TOKENS, hooks)


@every_kind
@pytest.mark.parametrize("layer_norm", ["recompute", "freeze"])
def test_tables_are_what_hooks_say(kind: str, layer_norm) -> None:
    model = made(kind)
    weights, cfg = forward.weights_of(model), model.cfg
    changes = [parse_change(text) for text in CHANGES]
    means = substitutes.mean_z(weights, cfg, OTHERS)
    (block,) = changed_losses.blocks(weights, cfg, TOKENS, changes, substitutes.fixed(means), layer_norm)
    torch.testing.assert_close(block.clean, effects.token_losses(model, TOKENS), rtol=1e-4, atol=1e-4)
    expected = [by_hooks(model, change, means, layer_norm) for change in changes]
    for number, change in enumerate(changes):
        np.testing.assert_allclose(
            block.changed[number], expected[number], rtol=1e-4, atol=2e-4, err_msg=change_name(change)
        )
    sizes = [(one - block.clean).abs().max() for one in expected]
    assert min(sizes) > 1e-3, "negative control: every change does something"
    assert (expected[5] - expected[6]).abs().max() > 1e-3


@every_kind
def test_own_z_in_place_changes_nothing(kind: str) -> None:
    model = made(kind)
    weights, cfg = forward.weights_of(model), model.cfg
    with torch.no_grad():
        clean = rerun.clean_run(weights, cfg, TOKENS)
        own = {(layer, head): clean.z[layer][:, :, head] for layer in range(2) for head in range(3)}
        run = rerun.prepare(weights, cfg, clean, own)
        for head in own:
            assert torch.equal(rerun.final_residual(run, Change(heads=(head,))), clean.residuals[-1])
        removed = rerun.final_residual(run._replace(values={}), Change(heads=((0, 1),)))
    assert (removed - clean.residuals[-1]).abs().max() > 1e-2, "negative control"


@every_kind
def test_a_close_up(kind: str) -> None:
    model, change, pos = made(kind), parse_change("L0H1->L1H2.k"), 7
    weights, cfg = forward.weights_of(model), model.cfg
    means = substitutes.mean_z(weights, cfg, OTHERS)
    seen = closeup.close_up(weights, cfg, TOKENS[2], pos, change, [means])
    with torch.no_grad():
        logits, cache = model.run_with_cache(TOKENS[2:3])
    torch.testing.assert_close(seen.clean, logits[0, pos - 1].log_softmax(-1), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(seen.attention, cache["pattern", 1][0, 2, pos - 1, :pos], rtol=1e-4, atol=1e-5)
    lost = by_hooks(model, change, means, "recompute")[2, pos - 1] - F.cross_entropy(logits[0, pos - 1], TOKENS[2, pos])
    torch.testing.assert_close(seen.effects(int(TOKENS[2, pos]))[0], lost, rtol=1e-3, atol=1e-4)


REFUSED: dict[str, dict] = {
    "grouped keys and values": {"n_key_value_heads": 1},
    "scores that are not scaled": {"use_attn_scale": False},
    "normed, clipped": {"use_qk_norm": True},
    "soft caps": {"attn_scores_soft_cap": 5.0},
    "another vocabulary": {"d_vocab_out": 7},
    "local": {"use_local_attn": True, "window_size": 4, "attn_types": ["local", "local"]},
    "length of the text": {"use_dynamic_ntk_rope": True},
    "what attention and MLPs write": {"original_architecture": "Olmo2ForCausalLM"},
    "act_fn 'xielu'": {"act_fn": "xielu"},
    "mixtures": {"num_experts": 4, "experts_per_token": 2},
    "quantized": {"load_in_4bit": True},
    "gated MLPs with a norm": {"gated_mlp": True, "act_fn": "solu_ln"},
    "positions 'alibi'": {"positional_embedding_type": "alibi"},
}
ONE = parse_change("L0H0")
CALLS: list[Callable] = [
    lambda w, cfg: forward.logits(w, cfg, TOKENS),
    lambda w, cfg: rerun.clean_run(w, cfg, TOKENS),
    lambda w, cfg: list(changed_losses.blocks(w, cfg, TOKENS, [ONE], substitutes.zeros(cfg))),
    lambda w, cfg: closeup.close_up(w, cfg, TOKENS[0], 5, ONE, [{}]),
    lambda w, cfg: substitutes.mean_z(w, cfg, TOKENS),
    lambda w, cfg: substitutes.pool(w, cfg, TOKENS, np.zeros((6, 12), int)),
]


@hooked_only
@pytest.mark.parametrize("reason", REFUSED)
def test_models_of_other_kinds_are_refused(reason: str) -> None:
    model = made("gpt2")
    cfg, weights = dataclasses.replace(model.cfg, **REFUSED[reason]), dict(model.named_parameters())
    for call in CALLS:
        with pytest.raises(ValueError, match="not a model these functions can run: ") as refusal:
            call(weights, cfg)
        assert reason in str(refusal.value) and "\n" not in str(refusal.value)
        call(weights, model.cfg)  # negative control
    model.cfg = cfg
    with pytest.raises(ValueError, match="not a model these functions can run: "):
        forward.weights_of(model)
