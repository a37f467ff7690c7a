"""Neighbours of one kind: by chance, in planted clusters, and where a row of text alone makes tokens alike."""

import numpy as np
import pytest

from experiments.statistics.maps.neighbours import together

ROWS, LENGTH, KINDS = 20, 60, 4


def drawn(apart: float = 0.0, of_rows: float = 0.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vectors, kinds and rows; kinds lie apart by so much, and so do rows."""
    generator = np.random.default_rng(seed)
    rows, kinds = np.repeat(np.arange(ROWS), LENGTH), generator.integers(0, KINDS, ROWS * LENGTH)
    vectors = generator.standard_normal((ROWS * LENGTH, 8))
    vectors += apart * generator.standard_normal((KINDS, 8))[kinds]
    return vectors + of_rows * generator.standard_normal((ROWS, 8))[rows], kinds, rows


def test_by_chance_it_is_chance() -> None:
    held = []
    for seed in range(40):
        found = together(*drawn(seed=seed))
        held.append(found.low <= found.chance <= found.high)
    assert found.chance == pytest.approx(1 / KINDS, abs=0.01)
    assert np.mean(held) > 0.95 - 4 * np.sqrt(0.95 * 0.05 / 40)


def test_planted_clusters_are_found() -> None:
    assert together(*drawn(apart=5.0)).value > 0.95
    some = together(*drawn(apart=0.7))
    assert some.chance + 0.05 < some.low < some.value < some.high < 0.95


def test_what_a_row_has_in_common_counts_for_nothing() -> None:
    """Kinds that go with rows: neighbours within a row would all be of one kind."""
    vectors, _, rows = drawn(of_rows=5.0)
    found = together(vectors, rows // (ROWS // KINDS), rows)
    alone = together(vectors, rows // (ROWS // KINDS), np.arange(len(rows)))  # the control: rows are not told
    assert alone.value > 0.9 and found.value < 0.6
