"""Cuts are exact: equal to recomputing the target by hand, and to the hooks; other heads are untouched."""

import itertools

import numpy as np
import pytest
import torch

from ablations import attention, effects, heads, rerun, tables
from ablations.paths import VIAS, Path, cut
from tests.conftest import make_model

TOKENS = torch.randint(50, (3, 11), generator=torch.Generator().manual_seed(5))


def by_hand(model, path: Path, value: torch.Tensor) -> torch.Tensor:
    """Residual after layer 1 of a two-layer model with one path cut, from the formulas alone."""
    _, cache = model.run_with_cache(TOKENS)
    (_, s), (_, t), via = path
    block = model.blocks[1].attn
    residual = cache["resid_pre", 1]
    lost = (cache["z", 0][:, :, s] - value) @ model.blocks[0].attn.W_O[s]

    def norm(x: torch.Tensor) -> torch.Tensor:
        centred = x - x.mean(-1, keepdim=True)
        scale = (centred.pow(2).mean(-1, keepdim=True) + model.cfg.eps).sqrt()
        return centred / scale * model.blocks[1].ln1.w + model.blocks[1].ln1.b

    place = model.W_pos[: TOKENS.shape[1]]
    read = {v: norm(residual - lost if v == via else residual) + (0 if v == "v" else place) for v in VIAS}
    q, k, v = (read[n] @ getattr(block, f"W_{n.upper()}")[t] + getattr(block, f"b_{n.upper()}")[t] for n in VIAS)
    scores = q @ k.transpose(1, 2) / model.cfg.d_head**0.5
    scores = scores.masked_fill(torch.ones(scores.shape[-2:]).triu(1).bool(), float("-inf"))
    z = scores.softmax(-1) @ v
    return cache["resid_post", 1] + (z - cache["z", 1][:, :, t]) @ block.W_O[t]


def logits_of(model, residual: torch.Tensor) -> torch.Tensor:
    return attention.token_losses(attention.weights_of(model), model.cfg, residual, TOKENS)


@pytest.mark.parametrize("via", VIAS)
def test_a_cut_is_exact_recomputation(via: str) -> None:
    model = make_model(2, torch.float64)
    value = torch.randn(6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    path = Path((0, 1), (1, 2), via)
    weights = attention.weights_of(model)
    clean = rerun.clean_run(weights, model.cfg, TOKENS)
    expected = by_hand(model, path, value).detach()
    rerun_residual = rerun.final_residual(weights, model.cfg, clean, cuts=[path], values={(0, 1): value})
    torch.testing.assert_close(rerun_residual, expected, rtol=1e-10, atol=1e-10)
    hooked = effects.token_losses(model, TOKENS, cut(model, [path], {(0, 1): value}))
    torch.testing.assert_close(hooked, logits_of(model, expected), rtol=1e-10, atol=1e-10)
    for other in VIAS:  # negative control: no other via, and no frozen norm, gives the same
        if other != via:
            wrong = by_hand(model, Path((0, 1), (1, 2), other), value)
            assert (wrong - expected).abs().max() > 1e-4
    frozen = effects.token_losses(model, TOKENS, cut(model, [path], {(0, 1): value}, layer_norm="freeze"))
    assert (frozen - hooked).abs().max() > 1e-5


@pytest.mark.parametrize("n_layers", [2, 3])
def test_sets_of_cuts_and_heads_equal_the_hooks(n_layers: int) -> None:
    model = make_model(4, torch.float64, n_layers=n_layers)
    weights, means = attention.weights_of(model), {}
    with torch.no_grad():
        means = {h: z.mean((0, 1)) for h, z in heads.head_z(model, [(0, 0), (0, 2), (1, 1)], TOKENS).items()}
    last = n_layers - 1
    cuts = [
        Path((0, 0), (last, 1), "k"),
        Path((0, 2), (last, 1), "k"),
        Path((0, 0), (last, 0), "v"),
        Path((0, 2), (1, 2), "q"),
    ]
    if n_layers == 3:
        cuts.append(Path((1, 1), (2, 1), "q"))
    clean = rerun.clean_run(weights, model.cfg, TOKENS)
    ours = logits_of(model, rerun.final_residual(weights, model.cfg, clean, cuts=cuts, values=means))
    torch.testing.assert_close(
        ours, effects.token_losses(model, TOKENS, cut(model, cuts, means)), rtol=1e-10, atol=1e-10
    )
    ablated = logits_of(model, rerun.final_residual(weights, model.cfg, clean, replaced={(0, 0): means[0, 0]}))
    hooked = effects.token_losses(model, TOKENS, heads.replace({(0, 0): means[0, 0]}))
    torch.testing.assert_close(ablated, hooked, rtol=1e-10, atol=1e-10)


def test_a_head_replaced_by_itself_changes_nothing_bit_for_bit(model) -> None:
    z = heads.head_z(model, [(0, 1)], TOKENS)
    clean = effects.token_losses(model, TOKENS)
    assert torch.equal(effects.token_losses(model, TOKENS, heads.replace(z)), clean)
    assert not torch.equal(effects.token_losses(model, TOKENS, heads.zero([(0, 1)])), clean)


def test_a_cut_leaves_other_heads_alone(model) -> None:
    seen: dict[str, list[torch.Tensor]] = {}

    def watch(activation, hook):
        seen.setdefault(hook.name, []).append(activation.clone())

    watched = [(f"blocks.{layer}.attn.hook_{v}", watch) for layer, v in itertools.product((0, 1), VIAS)]
    effects.token_losses(
        model, TOKENS, [*cut(model, [Path((0, 1), (1, 2), "k")], {(0, 1): torch.full((6,), 9.0)}), *watched]
    )
    effects.token_losses(
        model, TOKENS, [*cut(model, [Path((0, 1), (1, 2), "k")], heads.head_z(model, [(0, 1)], TOKENS)), *watched]
    )
    for name, (cut_run, clean_run) in seen.items():
        same = [torch.equal(cut_run[:, :, head], clean_run[:, :, head]) for head in range(3)]
        assert same == [True, True, name != "blocks.1.attn.hook_k"], name


def test_zero_keeps_the_bias_of_the_layer(model) -> None:
    everything = heads.zero([(0, head) for head in range(3)])
    kept: list[torch.Tensor] = []
    effects.token_losses(
        model, TOKENS, [*everything, ("blocks.0.hook_attn_out", lambda a, hook: kept.append(a.clone()))]
    )
    torch.testing.assert_close(kept[0], model.b_O[0].expand_as(kept[0]))


def test_the_model_is_as_before_also_after_an_error(model) -> None:
    with pytest.raises(ValueError, match="no hook"):
        effects.token_losses(
            model, TOKENS, [("blocks.0.hook_k_input", lambda a, hook: a), ("blocks.7.hook_z", lambda a, hook: a)]
        )
    assert not model.cfg.use_split_qkv_input
    assert all(not point.fwd_hooks for point in model.hook_dict.values())


def test_a_hook_that_does_not_fire_raises(model) -> None:
    with pytest.raises(RuntimeError, match="did not fire"):
        effects.token_losses(model, TOKENS, [("blocks.0.attn.hook_result", lambda a, hook: a)])


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (Path((1, 0), (1, 1), "k"), "earlier layer"),
        (Path((1, 0), (0, 1), "k"), "earlier layer"),
        (Path((0, 0), (1, 9), "k"), "no head L1H9"),
        (Path((0, 0), (1, 1), "x"), "no input 'x'"),
    ],
)
def test_impossible_paths_are_refused(model, path: Path, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cut(model, [path])


def test_table_of_effects_is_cost_of_each_change(model) -> None:
    weights = attention.weights_of(model)
    changes = [tables.Change(replaced={(1, 0): torch.zeros(6)}), tables.Change()]
    found = tables.effects(weights, model.cfg, TOKENS, changes, lambda losses: losses.mean(1), rows_at_once=2)
    hooked = effects.token_losses(model, TOKENS, heads.zero([(1, 0)])) - effects.token_losses(model, TOKENS)
    np.testing.assert_allclose(found[0], hooked.mean(1).numpy(), atol=1e-5)
    assert (found[1] == 0).all()


def test_clustered_error_is_right_for_correlated_units() -> None:
    generator = np.random.default_rng(0)
    errors, naive, means = [], [], []
    for _ in range(400):
        documents = np.repeat(np.arange(20), 10)
        values = generator.normal(size=20)[documents] + generator.normal(size=200)
        estimate = effects.clustered(values, documents)
        errors.append(estimate.se)
        naive.append(values.std(ddof=1) / 200**0.5)
        means.append(estimate.value)
    truth = float(np.std(means))
    assert abs(np.mean(errors) / truth - 1) < 0.1
    assert np.mean(naive) / truth < 0.5  # negative control: units are not independent
    with pytest.raises(ValueError, match="at least two"):
        effects.clustered(np.ones(5), np.zeros(5))
