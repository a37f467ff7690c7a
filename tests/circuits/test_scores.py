"""Scores on repeats in any text, copying weights, and the statistics of the training text."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from transformer_lens.head_detector import (
    compute_head_attention_similarity_score,
    detect_head,
    get_duplicate_token_head_detection_pattern,
    get_induction_head_detection_pattern,
    get_previous_token_head_detection_pattern,
)

from ablations import forward
from circuits import copying, ngrams, scores
from tests.conftest import hooked_only, make_model

BOS, VOCABULARY = 0, 30


def attended(length: int = 24, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Random causal attention of three heads over text with repeats."""
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(1, 8, (5, length), generator=generator)
    raw = torch.rand(5, 3, length, length, generator=generator, dtype=torch.float64).tril()
    return tokens, raw / raw.sum(-1, keepdim=True)


def test_attention_by_offset_adds_up() -> None:
    _, patterns = attended(length=9)
    found = scores.by_offset(patterns, 8)
    assert found.shape == (5, 3, 9)
    queries = torch.tensor([8, *range(8, 0, -1)], dtype=torch.float64)  # that look so far back
    assert torch.allclose((found * queries).sum(-1) + patterns[..., 0, 0], torch.tensor(9.0, dtype=torch.float64))
    assert torch.equal(found[..., 0], scores.current_token(patterns))
    assert torch.equal(found[..., 1], scores.previous_token(patterns))
    assert not torch.allclose(found[..., 2], scores.previous_token(patterns))
    with pytest.raises(ValueError, match="most=9: queries of 9 positions look 0 to 8"):
        scores.by_offset(patterns, 9)


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


@hooked_only
@pytest.mark.parametrize("name", ["previous_token_head", "duplicate_token_head", "induction_head"])
def test_detect_head_of_a_model_is_ours_over_another_total(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without exclusions its total is the number of tokens; with them, the attention that is left."""
    model, length = make_model(3, torch.float64), 16
    tokens = torch.randint(1, 8, (1, length), generator=torch.Generator().manual_seed(0))
    tokens[0, 0] = BOS
    monkeypatch.setattr(model, "to_tokens", lambda _: tokens)
    _, cache = model.run_with_cache(tokens)
    patterns = torch.stack([cache["pattern", layer][0] for layer in range(2)])  # [layer, head, query, key]
    keys = {"duplicate_token_head": scores.duplicate_keys, "induction_head": scores.following_keys}
    if name in keys:
        found = keys[name](tokens).expand(2, -1, -1)
        total = scores.attention_to(patterns, found) * found[0].any(-1).sum()
    else:
        total = scores.previous_token(patterns) * (length - 1)
    torch.testing.assert_close(total / length, detect_head(model, "", name).double(), rtol=1e-6, atol=1e-6)
    left = patterns.clone()
    left[..., 0] = 0
    if name == "previous_token_head":
        total = total - patterns[:, :, 1, 0]  # the second token's attention to BOS is excluded too
    theirs = detect_head(model, "", name, exclude_bos=True).double()
    torch.testing.assert_close(total / left.sum((-1, -2)), theirs, rtol=1e-6, atol=1e-6)


def test_an_untrained_model_attends_as_evenly_as_chance() -> None:
    model = make_model(0, n_ctx=40)
    with torch.no_grad():
        for block in model.blocks:
            block.attn.W_Q *= 0.01
            block.attn.b_Q *= 0.01
    tokens = torch.randint(1, 10, (8, 40), generator=torch.Generator().manual_seed(0))
    _, cache = model.run_with_cache(tokens)
    even = torch.ones(8, 1, 40, 40).tril() / torch.arange(1, 41)[:, None]
    for keys in (scores.duplicate_keys(tokens), scores.following_keys(tokens)):
        chance = scores.attention_to(even, keys)
        assert (chance > 0.05).all()
        found = scores.attention_to(cache["pattern", 1], keys)
        torch.testing.assert_close(found, chance.expand_as(found), rtol=0.1, atol=0)


@pytest.mark.parametrize("normalization", ["LN", None])
def test_copying_is_that_of_the_whole_matrix(normalization: str | None) -> None:
    model = make_model(1, torch.float64, normalization_type=normalization)
    weights = forward.weights_of(model)
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
    found = scores.ov_copying(forward.weights_of(model), model.cfg)
    assert found.flatten().tolist() == pytest.approx([1, -1], abs=1e-6)


def test_random_weights_do_not_copy() -> None:
    models = [make_model(seed, d_model=48, d_vocab=200) for seed in range(10)]
    found = torch.stack([scores.ov_copying(forward.weights_of(model), model.cfg) for model in models])
    assert abs(float(found.mean())) < 3 * float(found.std()) / found.numel() ** 0.5
    assert float(found.std()) < 0.4


def one_hot_head(query: float, write: float) -> torch.Tensor:
    """Copying of one head on a row of tokens: `query` scales what it looks for (its own token and position), and it
    writes `write` times the one-hot code of what it reads.
    """
    settings: dict = {"n_layers": 1, "n_heads": 1, "d_model": 24, "d_head": 24, "d_vocab": 24}
    model = make_model(0, torch.float64, normalization_type=None, **settings)
    code = torch.eye(24, dtype=torch.float64)
    values = {"embed.W_E": code, "unembed.W_U": code, "pos_embed.W_pos": code[:20]}
    values |= {"blocks.0.attn.W_Q": query * code, "blocks.0.attn.W_K": code, "blocks.0.attn.W_V": code}
    values["blocks.0.attn.W_O"] = write * code
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(values.get(name, torch.zeros(())))
    return copying.copying(forward.weights_of(model), model.cfg, torch.tensor([[5, 9, 2, 20, 7, 11]]))


def test_what_a_head_raises_is_what_it_attends_to() -> None:
    assert one_hot_head(query=1000, write=1).item() == pytest.approx(1)
    assert one_hot_head(query=1000, write=-1).item() == pytest.approx(-1)
    assert one_hot_head(query=1000, write=0).item() == -1
    # even attention raises each of the q tokens so far by 1/q, less the mean logit of 1/24
    attended, every = (sum(f * (1 / q - 1 / 24) for q, f in enumerate(fs, 1)) for fs in ([1] * 6, range(1, 7)))
    expected = 4 * attended / (attended + every) - 1
    assert one_hot_head(query=0, write=1).item() == pytest.approx(expected)


def test_an_untrained_model_copies_no_more_than_chance() -> None:
    tokens = torch.stack([torch.randperm(50, generator=torch.Generator().manual_seed(row))[:20] for row in range(16)])
    model = make_model(0)
    found = copying.copying(forward.weights_of(model), model.cfg, tokens)
    assert found.shape == (16, 2, 3)
    share = (1 + found) / (3 - found)  # a / t
    assert 0.02 < float(share.mean()) < 0.1


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


def test_ngrams_of_shuffled_training_text_are_no_easier() -> None:
    """Negative control: a bigram model's losses on n-grams of the text it learned from, and of that text shuffled."""
    trained, held_out = planted_text(2000, 1), planted_text(2000, 2)
    table = 0.9 * ngrams.bigrams(trained, BOS, VOCABULARY).toarray() + 0.1 / VOCABULARY
    losses = -np.log(table[held_out[:, :-1], held_out[:, 1:]])
    documents = np.repeat(np.arange(2000)[:, None], 39, 1)
    shuffled = trained.copy()
    flat = np.random.default_rng(0).permutation(trained[:, 1:].ravel())
    shuffled[:, 1:] = flat.reshape(2000, -1)
    found = {}
    for name, text in (("trained", trained), ("shuffled", shuffled)):
        chosen = ngrams.common(text, 3, BOS, VOCABULARY, count=1 if name == "trained" else 1000)
        found[name] = ngrams.score(losses, ngrams.ends(held_out, chosen, 3, BOS, VOCABULARY), documents)
    assert found["trained"].value > 5
    assert found["shuffled"].value == pytest.approx(1, abs=0.05)  # below it by what 3 4 5, easy and rare here, make up


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
    nothing = ngrams.bigram_losses(uniform[:0], after[:0], table)
    assert {(values.shape, values.dtype) for values in nothing.values()} == {((0,), np.dtype(np.float64))}
