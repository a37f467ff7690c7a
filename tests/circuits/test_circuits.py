"""Scores on hand-made attention, composition against TransformerLens, and a planted induction circuit."""

import numpy as np
import pytest
import torch

from ablations import forward, substitutes
from circuits import classify, composition, induction, scores
from tests.conftest import hooked_only, make_model
from tests.planted import LENGTH, VOCABULARY, planted_induction


def one_hot(targets: list[list[int]]) -> torch.Tensor:
    """Patterns [1, head, query, key] that attend to the given keys."""
    return torch.nn.functional.one_hot(torch.tensor([targets]), len(targets[0])).float()


def test_scores_on_hand_made_attention() -> None:
    period, length = 4, 8
    previous = [max(i - 1, 0) for i in range(length)]
    current = list(range(length))
    match = [max(i - period + 1, 0) for i in range(length)]
    first = [0] * length
    patterns = one_hot([previous, current, match, first])
    assert scores.previous_token(patterns)[0, [0, 1]].tolist() == [1, 0]
    assert scores.current_token(patterns)[0].tolist() == [0, 1, 0, 0]
    assert scores.prefix_matching(patterns, period)[0].tolist() == [0, 0, 1, 0]
    half = patterns * 0.5 + one_hot([first] * 4) * 0.5
    assert scores.prefix_matching(half, period)[0, 2] == 0.5
    third = [[max(i - 3, 0) for i in range(8)]]  # period 2: tokens 4 to 7 attend to what followed two copies ago
    assert scores.prefix_matching(one_hot(third), 2).item() == pytest.approx(4 / 6)
    with pytest.raises(ValueError, match="no second copy"):
        scores.prefix_matching(patterns, 5)


def test_prefix_matching_looks_at_the_token_after_the_earlier_occurrence() -> None:
    """The erratum: attention to the earlier occurrence itself does not count."""
    earlier = [max(i - 4, 0) for i in range(8)]
    assert scores.prefix_matching(one_hot([earlier]), 4).item() == 0


def test_copy_gain_and_in_context_learning() -> None:
    losses = torch.tensor([[5.0, 4.0, 9.0, 1.0, 1.0]])  # tokens a b c | a b c: the loss on the second a is left out
    assert scores.copy_gain(losses, 3).item() == pytest.approx(3.5)
    assert scores.in_context_learning(losses, slice(0, 2), slice(3, 5)).item() == pytest.approx(-3.5)


def test_random_rows_are_distinct_middle_tokens() -> None:
    counts = np.arange(100)[::-1]  # token 0 the most frequent
    rows = scores.random_rows(counts, 50, 40, seed=0)
    assert rows.min() >= 25
    assert rows.max() < 75
    assert all(len(set(row)) == 40 for row in rows.tolist())
    assert torch.equal(rows, scores.random_rows(counts, 50, 40, seed=0))
    assert not torch.equal(rows, scores.random_rows(counts, 50, 40, seed=1))
    with pytest.raises(ValueError, match="distinct"):
        scores.random_rows(counts, 1, 60, seed=0)


@hooked_only
@pytest.mark.parametrize(("via", "mode"), [("q", "Q"), ("k", "K"), ("v", "V")])
def test_raw_composition_equals_transformer_lens(via: str, mode: str) -> None:
    model = make_model(2, torch.float64, n_layers=3)
    ours = composition.composition(forward.weights_of(model), model.cfg, "raw")[..., composition.VIAS.index(via)]
    theirs = model.all_composition_scores(mode)
    pairs = [(0, 1), (0, 2), (1, 2)]
    for source, target in pairs:
        torch.testing.assert_close(ours[source, :, target].double(), theirs[source, :, target], rtol=1e-6, atol=1e-6)
    assert torch.isnan(ours[1, :, 1]).all()
    assert torch.isnan(ours[2, :, 0]).all()


@hooked_only
def test_folded_composition_equals_transformer_lens_with_folded_weights() -> None:
    model = make_model(2, torch.float64, positional_embedding_type="standard")  # TransformerLens folds no shortformer
    ours = composition.composition(forward.weights_of(model), model.cfg)
    raw = composition.composition(forward.weights_of(model), model.cfg, "raw")
    model.process_weights_(fold_ln=True, center_writing_weights=False, center_unembed=False)
    for number, mode in enumerate("QKV"):
        theirs = model.all_composition_scores(mode)[0, :, 1]
        torch.testing.assert_close(ours[0, :, 1, :, number].double(), theirs, rtol=1e-6, atol=1e-6)
    assert (ours - raw)[0, :, 1].abs().max() > 0.01


def test_random_heads_score_the_baseline() -> None:
    model = make_model(0, d_model=96, d_head=12, n_heads=8)
    base = composition.random_baseline(model.cfg)
    found = composition.composition(forward.weights_of(model), model.cfg, "raw")[0, :, 1]
    assert base.mean == pytest.approx(96**-0.5, rel=0.05)
    assert abs(found.mean().item() - base.mean) < 0.1 * base.sd * 3
    assert base.sd < 0.2 * base.mean


def rotated_scores(model, source: int, target: int, via: int, draws: int, seed: int = 0) -> torch.Tensor:
    """Squared scores of one pair of a two-layer model, from d_model x d_model matrices turned at random."""
    first, second, d = model.blocks[0].attn, model.blocks[1].attn, model.cfg.d_model
    gains = [block.ln1.w[:, None] for block in model.blocks]

    def folded(layer: int, weight: torch.Tensor) -> torch.Tensor:
        scaled = weight * gains[layer]
        return scaled - scaled.mean(0, keepdim=True)

    written = folded(0, first.W_V[source]) @ first.W_O[source]
    q, k, v = (folded(1, weight[target]) for weight in (second.W_Q, second.W_K, second.W_V))
    read = (q @ k.T, k @ q.T, v @ second.W_O[target])[via]
    generator = torch.Generator().manual_seed(seed)
    turns = torch.linalg.qr(torch.randn(draws, d, d, dtype=torch.float64, generator=generator))
    turn = turns.Q * turns.R.diagonal(dim1=1, dim2=2).sign()[:, None]  # uniform on O(d)
    composed = (written @ turn @ read).pow(2).sum((1, 2))
    return composed / (written.pow(2).sum() * read.pow(2).sum())


@pytest.mark.parametrize("via", [0, 1, 2])
def test_the_spectral_baseline_is_what_random_turns_give(via: int) -> None:
    model = make_model(2, torch.float64)
    mean, sd = composition.spectral_baseline(forward.weights_of(model), model.cfg)
    drawn = rotated_scores(model, 1, 2, via, 4000).detach().numpy()
    assert abs(drawn.mean() - float(mean)) < 4 * drawn.std() / 4000**0.5
    expected = float(sd[0, 1, 1, 2, via])
    assert drawn.std() == pytest.approx(expected, rel=0.06)
    other = float(sd[0, 1, 1, 2, via - 1])  # negative control: another reading has another spread
    assert abs(other / expected - 1) > 0.06 or via == 1  # queries and keys share theirs: W_QK and its transpose


def test_principal_cosines_find_a_shared_subspace() -> None:
    model = make_model(2, torch.float64)
    first, second, d_head = model.blocks[0].attn, model.blocks[1].attn, model.cfg.d_head
    with torch.no_grad():
        model.blocks[1].ln1.w.fill_(1.0)
        first.W_O -= first.W_O.mean(-1, keepdim=True)  # the mean is not read, so it is not written
        second.W_K[2, :, :3] = first.W_O[1, :3].T
    found = composition.principal_cosines(forward.weights_of(model), model.cfg)
    assert (found[0, 1, 1, 2, 1, :3] > 1 - 1e-9).all()
    assert (found[0, 1, 1, 2, 1, 3:] < 0.99).all()
    assert (found[0, 1, 1, 2, [0, 2]] < 0.99).all()  # negative control: the other readings share nothing
    assert (found[0, 0, 1, 2, 1] < 0.99).all()
    assert torch.isnan(found[1, :, 1]).all()
    assert found.shape[-1] == d_head


def test_positions_are_told_apart() -> None:
    model = make_model(2, torch.float64)
    attn = model.blocks[1].attn
    found = composition.position_composition(forward.weights_of(model), model.cfg)
    q, k = attn.W_Q[1], attn.W_K[1]
    for side, matrix in enumerate((q @ k.T, k @ q.T)):
        expected = ((model.W_pos @ matrix).norm() / (model.W_pos.norm() * matrix.norm())).detach()
        assert float(found[1, 1, side]) == pytest.approx(float(expected), rel=1e-6)
    assert found[1, 1, 0] != found[1, 1, 1]
    with pytest.raises(ValueError, match="only a shortformer"):
        standard = make_model(2, positional_embedding_type="standard")
        composition.position_composition(forward.weights_of(standard), standard.cfg)


def test_heads_are_chosen_by_score() -> None:
    found = {(0, 0): 0.1, (0, 1): 0.6, (0, 2): 0.4, (1, 0): 0.9}
    assert classify.previous_token_heads(found) == [(0, 1), (0, 2)]
    assert classify.previous_token_heads({(0, 0): 0.01, (0, 1): 0.02}) == [(0, 1)]
    assert classify.induction_heads(found) == [(1, 0)]


def test_the_planted_circuit_has_the_whole_effect() -> None:
    model = planted_induction()
    weights, period = forward.weights_of(model), LENGTH // 2
    generator = np.random.default_rng(0)
    rows = torch.from_numpy(np.stack([generator.permutation(VOCABULARY)[:period] for _ in range(24)]))
    tokens = scores.repeated(rows)
    _, cache = model.run_with_cache(tokens)
    assert scores.previous_token(cache["pattern", 0]).mean(0)[1] > 0.99
    assert scores.prefix_matching(cache["pattern", 1], period).mean(0)[2] > 0.8
    gain = scores.copy_gain(model(tokens, return_type="loss", loss_per_token=True), period).mean().item()
    assert gain > 1
    zeros = substitutes.zeros(model.cfg)
    cuts = induction.set_cuts(weights, model.cfg, tokens, np.arange(24), [(0, 1)], [(1, 2)], zeros)
    assert (cuts[0].sources, cuts[0].via) == (((0, 1),), "k")
    # what is left of the gain is the copying of tokens at random: without keys the head attends evenly
    assert cuts[0].removed.value > 0.5 * gain
    assert all(abs(cut.removed.value) < 1e-5 for cut in cuts[1:])
    assert all(cut.shortfall.value > 4 * cut.shortfall.se for cut in cuts[1:])
    removed = induction.set_cuts(weights, model.cfg, tokens, np.arange(24), [(0, 0)], [(1, 2)], zeros)
    claimed = next(cut for cut in removed if cut.sources == ((0, 0),) and cut.via == "k")
    assert abs(claimed.removed.value) < 1e-5  # negative control: another head is named


def test_of_very_many_sets_some_are_drawn() -> None:
    few, claimed = make_model().cfg, [(3, 2), (1, 0), (2, 5), (3, 11)]
    assert len(induction.same_size_sets([(0, 1), (1, 2)], few)) == 6 * 5 // 2  # all
    many = make_model(n_layers=4, n_heads=12, d_head=2).cfg
    drawn = induction.same_size_sets(claimed, many)  # of 58,905
    assert len(set(drawn)) == len(drawn) == induction.MOST_SETS
    assert tuple(sorted(claimed)) in drawn and drawn == induction.same_size_sets(claimed, many)
    assert all(len(set(one)) == 4 and list(one) == sorted(one) for one in drawn)
    assert {layer for one in drawn for layer, _ in one} == {1, 2, 3}
