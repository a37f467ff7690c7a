"""Exact overlap by chance agrees with shuffles, and with hand-worked numbers."""

import numpy as np
import pytest

from ablations import overlap


def test_one_stratum_is_the_hypergeometric() -> None:
    chosen = np.zeros((2, 10), dtype=bool)
    chosen[0, :4], chosen[1, 2:7] = True, True
    found = overlap.shared(chosen, np.zeros(10, dtype=int))
    assert found.both.tolist() == [[4, 2], [2, 5]]
    assert found.chance[0, 1] == pytest.approx(4 * 5 / 10)
    assert found.chance_sd[0, 1] ** 2 == pytest.approx(4 * 5 * 6 * 5 / (100 * 9))
    assert found.z[0, 1] == pytest.approx(0)


def test_strata_add_up_and_single_tokens_leave_nothing_open() -> None:
    chosen = np.array([[1, 1, 0, 0, 1, 0, 1], [1, 0, 0, 1, 1, 1, 0]], dtype=bool)
    found = overlap.shared(chosen, np.array([3, 3, 3, 3, 8, 5, 6]))
    assert found.both[0, 1] == 2
    assert found.chance[0, 1] == pytest.approx(2 * 2 / 4 + 1)
    assert found.chance_sd[0, 1] ** 2 == pytest.approx(2 * 2 * 2 * 2 / (16 * 3))
    alone = overlap.shared(chosen, np.arange(7))
    assert (alone.both == alone.chance).all()
    assert not alone.z.any()


def test_shuffles_agree() -> None:
    generator = np.random.default_rng(0)
    groups = generator.integers(40, size=3000) ** 2 // 30  # strata of very different sizes
    effects = generator.normal(size=(2, 3000)) + 0.3 * generator.normal(size=groups.max() + 1)[groups]
    shuffled = overlap.jaccard(*effects, groups, share=0.1, shuffles=2000)
    found = overlap.shared(np.stack([overlap.strongest(effect, 0.1) for effect in effects]), groups)
    size = 300
    as_jaccard = found.chance[0, 1] / (2 * size - found.chance[0, 1])
    slope = 2 * size / (2 * size - found.chance[0, 1]) ** 2  # d jaccard / d |A and B|
    assert shuffled.value == found.both[0, 1] / (2 * size - found.both[0, 1])
    assert shuffled.chance == pytest.approx(as_jaccard, abs=4 * shuffled.chance_sd / 2000**0.5 + 2e-4)
    assert shuffled.chance_sd == pytest.approx(slope * found.chance_sd[0, 1], rel=0.08)
    ignorant = overlap.shared(np.stack([overlap.strongest(e, 0.1) for e in effects]), np.zeros(3000, dtype=int))
    assert abs(ignorant.chance[0, 1] - found.chance[0, 1]) > 5 * found.chance_sd[0, 1] / 2000**0.5  # negative control


def test_z_of_unrelated_lists_has_unit_spread_and_of_related_ones_is_large() -> None:
    generator = np.random.default_rng(1)
    groups = generator.integers(6, size=2000)
    chosen = generator.random((30, 2000)) < 0.1 + 0.05 * groups[None]
    pairs = overlap.shared(chosen, groups).z[np.triu_indices(30, 1)]
    assert abs(pairs.mean()) < 0.2
    assert pairs.std() == pytest.approx(1, abs=0.15)
    naive = overlap.shared(chosen, np.zeros(2000, dtype=int)).z[np.triu_indices(30, 1)]
    assert naive.mean() > 1  # negative control: what groups explain counts as overlap without them
    both = chosen[:1] | (generator.random((2, 2000)) < 0.02)
    assert overlap.shared(both, groups).z[0, 1] > 20
