"""Adjusted p-values, against their definition and the level that they promise."""

import numpy as np
import pytest

from experiments.statistics.seeds import holm


def test_the_textbook_example() -> None:
    assert holm.adjusted([0.01, 0.04, 0.03, 0.005]).tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm.adjusted([]).tolist() == []
    assert holm.adjusted([0.9, 0.8]).tolist() == [1.0, 1.0]


def test_any_false_one_among_many_passes_seldom() -> None:
    generator = np.random.default_rng(0)
    any_passed = [(holm.adjusted(generator.random(10)) < 0.05).any() for _ in range(4000)]
    assert abs(np.mean(any_passed) - 0.05) < 0.011
    unadjusted = [(generator.random(10) < 0.05).any() for _ in range(4000)]
    assert np.mean(unadjusted) > 0.3


def test_a_p_lies_between_0_and_1() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        holm.adjusted([0.2, 1.2])
