"""Losses under many changes at once: equal to the hooks, change by change, and their means and errors."""

import numpy as np
import pytest
import torch

from ablations import changed_losses, effects, forward, heads, substitutes
from ablations.changes import Change
from ablations.paths import OUTPUT, Path, all_paths, cut
from tests.conftest import make_model

TOKENS = torch.randint(50, (5, 11), generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("layer_norm", ["recompute", "freeze"])
@pytest.mark.parametrize("n_layers", [2, 3])
@pytest.mark.parametrize("normalization", ["LN", "LNPre", None])
def test_every_change_costs_what_its_hooks_cost(n_layers: int, normalization: str | None, layer_norm: str) -> None:
    model = make_model(4, torch.float64, n_layers=n_layers, normalization_type=normalization)
    weights = forward.weights_of(model)
    changes = [Change(cuts=(path,)) for path in all_paths(model.cfg)]
    last = n_layers - 1
    into_last = (Path((0, 0), (last, 1), "k"), Path((0, 2), (last, 1), "q"), Path((0, 2), (last, 0), "v"))
    changes += [
        Change(heads=((0, 1),)),
        Change(heads=((last, 1),)),
        Change(heads=((last, 1), (0, 2))),
        Change(cuts=into_last),
        Change(heads=((last, 1), (last, 2)), cuts=into_last),
        Change(cuts=(Path((last, 0), OUTPUT), Path("embed", OUTPUT))),
        Change(cuts=(*into_last, Path((0, 1), OUTPUT))),
        Change(),
    ]
    values = substitutes.mean_z(weights, model.cfg, TOKENS)
    found = list(
        changed_losses.blocks(
            weights, model.cfg, TOKENS, changes, substitutes.fixed(values), layer_norm, rows_at_once=2
        )
    )
    assert [block.rows for block in found] == [slice(0, 2), slice(2, 4), slice(4, 5)]
    changed = torch.cat([block.changed for block in found], dim=1)
    clean = effects.token_losses(model, TOKENS)
    torch.testing.assert_close(torch.cat([block.clean for block in found]), clean, rtol=1e-10, atol=1e-10)
    for number, change in enumerate(changes):
        replaced = heads.replace({head: values[head] for head in change.heads})
        hooks = cut(model, change.cuts, values, layer_norm) + replaced
        hooked = effects.token_losses(model, TOKENS, hooks)
        torch.testing.assert_close(changed[number], hooked, rtol=1e-10, atol=1e-10)
    assert (changed[-1] == clean).float().mean() == 1 or torch.allclose(changed[-1], clean, atol=1e-12)
    sizes = (changed[:-1] - clean).abs().amax((1, 2))
    assert (sizes > 1e-6).all()  # negative control: none of the other changes is nothing


@pytest.mark.parametrize("family", [{}, {"positional_embedding_type": "shortformer"}, {"normalization_type": "RMS"}])
def test_own_values_are_those_of_a_head_that_attends_to_itself(family: dict) -> None:
    model = make_model(4, torch.float64, n_layers=2, **family)
    weights, removed = forward.weights_of(model), [(0, 1), (1, 2)]
    own = substitutes.own_values(weights, model.cfg, TOKENS)
    blocks = changed_losses.blocks(
        weights, model.cfg, TOKENS, [Change(heads=(head,)) for head in removed], own, rows_at_once=2
    )
    changed = torch.cat([block.changed for block in blocks], dim=1)
    for number, (layer, head) in enumerate(removed):
        for back, equal in ((0, True), (1, False)):  # negative control: one that attends to the token before

            def look(pattern, hook, head=head, back=back):
                pattern[:, head] = torch.eye(len(TOKENS[0])).roll(-back, 1).tril()
                pattern[:, head, 0, 0] = 1
                return pattern

            hooks = [(f"blocks.{layer}.attn.hook_pattern", look)]
            losses = model.run_with_hooks(TOKENS, return_type="loss", loss_per_token=True, fwd_hooks=hooks)
            assert torch.allclose(changed[number], losses, atol=1e-10) == equal


def test_the_unchanged_run_costs_nothing_bit_for_bit(model) -> None:
    weights = forward.weights_of(model)
    own = substitutes.pool(weights, model.cfg, TOKENS, np.zeros((5, 11), dtype=int)).z

    def themselves(rows: slice) -> list[substitutes.Values]:
        return [{(layer, head): own[layer][rows, :, head] for layer in range(2) for head in range(3)}]

    changes = [Change(heads=((1, 0), (1, 2))), Change(cuts=(Path((0, 1), (1, 2), "k"),)), Change()]
    for block in changed_losses.blocks(weights, model.cfg, TOKENS, changes, themselves, rows_at_once=5):
        assert block.effect.abs().max() < 1e-6
        assert (block.effect[2] == 0).all()
    zeros = substitutes.zeros(model.cfg)
    (removed,) = changed_losses.blocks(weights, model.cfg, TOKENS, changes, zeros, rows_at_once=5)
    assert removed.effect[0].abs().max() > 1e-3


def test_effects_are_means_over_draws(model) -> None:
    weights = forward.weights_of(model)
    values = [substitutes.mean_z(weights, model.cfg, TOKENS[:k]) for k in (1, 3)]
    changes = [Change(heads=((0, 1),)), Change(cuts=(Path((0, 1), (1, 2), "v"),))]

    def cost(losses: torch.Tensor) -> torch.Tensor:
        return losses.mean(1)

    both = changed_losses.effects(weights, model.cfg, TOKENS, changes, cost, lambda rows: list(values))
    alone = [changed_losses.effects(weights, model.cfg, TOKENS, changes, cost, substitutes.fixed(v)) for v in values]
    np.testing.assert_allclose(both, np.mean(alone, axis=0), atol=1e-6)
    assert not np.allclose(alone[0], alone[1], atol=1e-6)


def test_a_path_that_is_named_twice_is_cut_once(model) -> None:
    weights = forward.weights_of(model)
    for path in (Path((0, 1), (1, 2), "k"), Path((0, 1), OUTPUT), Path("embed", OUTPUT)):
        changes = [Change(cuts=(path,)), Change(cuts=(path, path))]
        (block,) = changed_losses.blocks(weights, model.cfg, TOKENS, changes, substitutes.zeros(model.cfg))
        assert torch.equal(block.changed[0], block.changed[1])
        hooked = [effects.token_losses(model, TOKENS, cut(model, change.cuts)) for change in changes]
        assert torch.equal(*hooked)


@pytest.mark.parametrize(
    ("changes", "tokens", "message"),
    [
        ([Change(heads=((2, 0),))], TOKENS, "no head L2H0"),
        ([Change(cuts=(Path((1, 0), (1, 1), "k"),))], TOKENS, "earlier layer"),
        ([Change()], TOKENS[:0], "0 rows"),
        ([Change()], TOKENS[:, :1], "1 tokens"),
        ([Change()], TOKENS.repeat(1, 2), "do not fit the model's context of 20"),
    ],
)
def test_bad_input_is_refused(model, changes, tokens, message: str) -> None:
    weights = forward.weights_of(model)
    with pytest.raises(ValueError, match=message):
        list(changed_losses.blocks(weights, model.cfg, tokens, changes, substitutes.zeros(model.cfg)))


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
        effects.clustered(np.ones(5), np.zeros(5, dtype=int))


def test_a_stream_of_sums_is_the_whole() -> None:
    generator = np.random.default_rng(1)
    values, documents = generator.normal(size=(3, 1000)), generator.integers(40, size=1000)
    parts = [effects.cluster_sums(values[:, part], documents[part]) for part in (slice(0, 300), slice(300, 1000))]
    for estimate, row in zip(effects.estimates(effects.merged(parts)), values, strict=True):
        whole = effects.clustered(row, documents)
        assert estimate.value == pytest.approx(whole.value, abs=1e-14)
        assert estimate.se == pytest.approx(whole.se, rel=1e-12)
