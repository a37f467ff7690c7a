"""The map of tokens: planted components are found, factors of heads do not count, and noise has no component."""

import numpy as np
import pytest

from llc import token_map

HEADS, TOKENS = 8, 4000
DRAWN = np.random.default_rng(0)
FIRST, SECOND = np.ones(HEADS), np.tile([1.0, -1.0], 4)


def planted(seed: int = 0, noise: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """Values of heads that share two hidden numbers of each token, and these numbers."""
    generator = np.random.default_rng(seed)
    hidden = generator.standard_normal((2, TOKENS)) * np.array([[2.0], [1.0]])
    return np.outer(FIRST, hidden[0]) + np.outer(SECOND, hidden[1]) + noise * generator.standard_normal(
        (HEADS, TOKENS)
    ), hidden


def test_planted_components_are_found() -> None:
    values, hidden = planted()
    found = token_map.components(token_map.standardised(values), 2)
    assert abs(np.corrcoef(found.scores[0], hidden[0])[0, 1]) > 0.9
    assert np.allclose(np.linalg.norm(found.loadings, axis=1), 1)
    assert (np.take_along_axis(found.loadings, np.abs(found.loadings).argmax(1)[:, None], 1) > 0).all()
    assert found.shares[0] > found.shares[1] > 0.1 > 1 / HEADS - 0.05
    rebuilt = token_map.components(token_map.standardised(values), HEADS)
    assert np.allclose(rebuilt.loadings.T @ rebuilt.scores, token_map.standardised(values))
    assert rebuilt.shares.sum() == pytest.approx(1)


def test_noise_has_no_component() -> None:
    """The control: shares are even but for what the largest of eight is above their mean."""
    found = token_map.components(token_map.standardised(DRAWN.standard_normal((HEADS, TOKENS))), HEADS)
    assert found.shares.max() < 1.1 / HEADS


def test_factors_and_means_of_heads_count_for_nothing() -> None:
    values, _ = planted()
    factors, means = DRAWN.uniform(0.1, 100, (HEADS, 1)), DRAWN.standard_normal((HEADS, 1))
    again = token_map.standardised(factors * values + means)
    assert np.allclose(again, token_map.standardised(values))
    unscaled = token_map.components(factors * values, 1).loadings[0]  # the control
    assert abs(unscaled @ token_map.components(again, 1).loadings[0]) < 0.9


def test_one_vector_for_all_heads_goes_with_the_means_of_tokens() -> None:
    values, _ = planted()
    common = token_map.standardised(values) + 3 * DRAWN.standard_normal(TOKENS)
    centred = token_map.standardised(common, centre_tokens=True)
    assert np.allclose(centred.mean(0), 0)
    assert np.ptp(token_map.components(common, 1).loadings[0]) < 0.1  # it is the first component
    assert np.ptp(token_map.components(centred, 1).loadings[0]) > 0.3


def test_a_head_without_values_is_zero_and_bad_values_are_refused() -> None:
    values, _ = planted()
    values[3] = 0.25
    found = token_map.components(token_map.standardised(values), 2)
    assert (token_map.standardised(values)[3] == 0).all() and np.allclose(found.loadings[:, 3], 0)
    values[3, 0] = np.nan
    with pytest.raises(ValueError, match="leave out the heads whose chains diverged"):
        token_map.standardised(values)
    with pytest.raises(ValueError, match="5 tokens for 8 heads: follow more probes"):
        token_map.components(values[:, :5])


def test_components_of_other_values_are_matched_in_order_and_sign() -> None:
    like = token_map.components(token_map.standardised(planted()[0]), 2)
    generator = np.random.default_rng(5)
    hidden = generator.standard_normal((2, TOKENS)) * np.array([[1.0], [3.0]])  # the second is now the larger
    other = np.outer(-FIRST, hidden[0]) + np.outer(SECOND, hidden[1]) + 0.5 * generator.standard_normal((HEADS, TOKENS))
    found = token_map.matched(token_map.standardised(other), like)
    own = token_map.components(token_map.standardised(other), 2)
    assert (found.loadings * like.loadings).sum(1).min() > 0.8
    assert not (own.loadings * like.loadings).sum(1).min() > 0.8  # the control: in their own order they differ
    assert found.shares[0] < found.shares[1]
