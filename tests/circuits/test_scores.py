"""Scores on repeats in any text, copying weights, and the statistics of the training text."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from transformer_lens.head_detector import (
    compute_head_attention_similarity_score,
    get_duplicate_token_head_detection_pattern,
    get_induction_head_detection_pattern,
    get_previous_token_head_detection_pattern,
)

from ablations import attention
from circuits import ngrams, scores
from tests.conftest import make_model

BOS, VOCABULARY = 0, 30


def attended(length: int = 24, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Random causal attention of three heads over text with repeats."""
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(1, 8, (5, length), generator=generator)
    raw = torch.rand(5, 3, length, length, generator=generator, dtype=torch.float64).tril()
    return tokens, raw / raw.sum(-1, keepdim=True)


def test_keys_are_what_they_are_called() -> None:
    tokens = torch.tensor([[5, 7, 5, 9, 7, 5]])
    same, following = scores.duplicate_keys(tokens)[0], scores.following_keys(tokens)[0]
    assert same.nonzero().tolist() == [[2, 0], [4, 1], [5, 0], [5, 2]]
    assert following.nonzero().tolist() == [[2, 1], [4, 2], [5, 1], [5, 3]]
    patterns = torch.zeros(1, 1, 6, 6)
    patterns[0, 0, 5, 1], patterns[0, 0, 5, 3], patterns[0, 0, 4, 2] = 0.5, 0.25, 0.3
    assert scores.attention_to(patterns, following[None]).item() == pytest.approx((0.75 + 0.3 + 0) / 3)
    assert scores.attention_to(patterns, torch.zeros(1, 6, 6, dtype=torch.bool)).item() == 0


def test_on_random_tokens_that_repeat_it_is_prefix_matching() -> None:
    _, patterns = attended()
    tokens = scores.repeated(torch.stack([torch.randperm(20)[:6] for _ in range(5)]), 4)
    found = scores.attention_to(patterns, scores.following_keys(tokens))
    torch.testing.assert_close(found, scores.prefix_matching(patterns, 6).to(found.dtype), rtol=1e-6, atol=1e-6)


def test_scores_are_transformer_lens_ones_over_the_tokens_that_can_have_them() -> None:
    """TransformerLens divides by all tokens, also those before which there is nothing to look at."""
    tokens, patterns = attended()
    length = tokens.shape[1]
    detected = {
        "previous": (get_previous_token_head_detection_pattern, scores.previous_token(patterns), None),
        "same": (get_duplicate_token_head_detection_pattern, None, scores.duplicate_keys(tokens)),
        "following": (get_induction_head_detection_pattern, None, scores.following_keys(tokens)),
    }
    for row in range(len(tokens)):
        for detection, ours, keys in detected.values():
            found = detection(tokens[row : row + 1])
            can = length - 1 if keys is None else int(keys[row].any(-1).sum())
            score = ours if keys is None else scores.attention_to(patterns, keys)
            for head in range(3):
                theirs = compute_head_attention_similarity_score(
                    patterns[row, head], found, exclude_bos=False, exclude_current_token=False, error_measure="mul"
                )
                assert score is not None
                assert float(score[row, head]) * can / length == pytest.approx(theirs, rel=1e-6)
    assert int(scores.following_keys(tokens)[0].any(-1).sum()) < length - 1


@pytest.mark.parametrize("normalization", ["LN", None])
def test_copying_is_that_of_the_whole_matrix(normalization: str | None) -> None:
    model = make_model(1, torch.float64, normalization_type=normalization)
    weights = attention.weights_of(model)
    found = scores.ov_copying(weights, model.cfg)
    layer, head = 1, 2
    attn, gain, final = model.blocks[layer].attn, torch.ones(model.cfg.d_model), torch.ones(model.cfg.d_model)
    centre = torch.eye(model.cfg.d_model).double()
    if normalization:
        gain, final = weights[f"blocks.{layer}.ln1.w"], weights["ln_final.w"]
        centre = centre - 1 / model.cfg.d_model
    values = model.W_E @ centre @ torch.diag(gain.double()) @ attn.W_V[head]
    logits = attn.W_O[head] @ centre @ torch.diag(final.double()) @ model.W_U
    whole = values @ (logits - logits.mean(1, keepdim=True))
    eigenvalues = torch.linalg.eigvals(whole.detach())
    expected = eigenvalues.sum().real / eigenvalues.abs().sum()
    assert float(found[layer, head]) == pytest.approx(float(expected), abs=1e-5)


def test_a_head_that_says_what_it_reads_copies_and_its_opposite_does_not() -> None:
    model = make_model(0, torch.float64, normalization_type=None, d_model=16, d_head=16, n_heads=1, d_vocab=10)
    with torch.no_grad():
        code = torch.linalg.qr(torch.randn(16, 16, dtype=torch.float64)).Q[:10]
        model.embed.W_E.copy_(code)
        model.unembed.W_U.copy_(code.T)
        for block, sign in zip(model.blocks, (1, -1), strict=True):
            block.attn.W_V[0], block.attn.W_O[0] = torch.eye(16), sign * torch.eye(16)
    found = scores.ov_copying(attention.weights_of(model), model.cfg)
    assert found.flatten().tolist() == pytest.approx([1, -1], abs=1e-6)


def planted_text(rows: int = 60, seed: int = 0) -> np.ndarray:
    """Random tokens in which 3 4 5 stands often."""
    generator = np.random.default_rng(seed)
    tokens = generator.integers(6, VOCABULARY, (rows, 40))
    for row, start in zip(range(rows), generator.integers(1, 30, rows), strict=True):
        tokens[row, start : start + 3] = 3, 4, 5
    tokens[:, 0] = BOS
    return tokens


def test_common_ngrams_are_the_frequent_ones_and_cross_no_bos() -> None:
    tokens = planted_text()
    tokens[0, 10:12] = 3, BOS
    (only,) = ngrams.common(tokens, 3, BOS, VOCABULARY, count=1)
    assert only == (3 * VOCABULARY + 4) * VOCABULARY + 5
    at = ngrams.ends(tokens, np.array([only]), 3, BOS, VOCABULARY)
    expected = [
        [row, pos - 1]
        for row in range(len(tokens))
        for pos in range(2, tokens.shape[1])
        if tokens[row, pos - 2 : pos + 1].tolist() == [3, 4, 5]
    ]
    assert np.argwhere(at).tolist() == expected
    with pytest.raises(ValueError, match="smaller n"):
        ngrams.keys(tokens, 14, BOS, VOCABULARY)


def test_the_ngram_score_tells_learned_from_not_learned_with_its_error() -> None:
    generator = np.random.default_rng(0)
    tokens = planted_text(400)
    documents = np.repeat(np.arange(400)[:, None], 39, 1)
    at = ngrams.ends(tokens, ngrams.common(tokens, 3, BOS, VOCABULARY, count=1), 3, BOS, VOCABULARY)
    flat = generator.gamma(9.0, 1 / 3, at.shape)
    nothing = ngrams.score(flat, at, documents)
    assert abs(nothing.value - 1) < 3 * nothing.se
    learned = ngrams.score(np.where(at, flat / 4, flat), at, documents)
    assert learned.value == pytest.approx(4 * nothing.value, rel=0.05)
    drawn = []
    for seed in range(60):
        again = np.random.default_rng(seed + 1).gamma(9.0, 1 / 3, at.shape)
        drawn.append(ngrams.score(again, at, documents).value)
    assert np.std(drawn) == pytest.approx(nothing.se, rel=0.3)
    with pytest.raises(ValueError, match="more text"):
        ngrams.score(flat, np.zeros_like(at), documents)


def test_bigram_losses_are_the_sums_they_are_called() -> None:
    tokens = planted_text()
    table = ngrams.bigrams(tokens, BOS, VOCABULARY)
    dense = np.zeros((VOCABULARY, VOCABULARY))
    for row in tokens:
        for before, after in pairwise(row[1:]):
            dense[before, after] += 1
    dense /= np.maximum(dense.sum(1, keepdims=True), 1)
    np.testing.assert_allclose(table.toarray(), dense, atol=1e-12)
    after = np.array([4, 9, 20])
    uniform = torch.full((3, VOCABULARY), -float(np.log(VOCABULARY)), dtype=torch.float64)
    found = ngrams.bigram_losses(uniform, after, table)
    np.testing.assert_allclose(found["cross_entropy"], np.log(VOCABULARY), rtol=1e-12)
    own = torch.from_numpy(np.log(np.maximum(dense[after], 1e-300)))
    best = ngrams.bigram_losses(own, after, table)
    np.testing.assert_allclose(best["cross_entropy"], best["entropy"], rtol=1e-9)
    assert (found["cross_entropy"] > best["entropy"]).all()
