"""Paths in function space, where their components, their turning and their turns are known."""

import numpy as np
import pytest

from ablations.not_measurable import NotMeasurable
from experiments.statistics import trajectories
from experiments.statistics.onsets import log_time

STEPS = np.unique(np.round(np.expm1(np.linspace(0, np.log1p(20_000), 80)))).astype(int)
CLOCK = log_time(STEPS)
DRAWN = np.random.default_rng(0)


def embedded(path: np.ndarray, outputs: int = 500) -> np.ndarray:
    """A path of few dimensions, turned into a space of many outputs and moved away from 0."""
    turned = np.linalg.qr(DRAWN.standard_normal((outputs, path.shape[1])))[0]
    return path @ turned.T + 3.0


def test_components_keep_all_distances_of_a_plane_path() -> None:
    path = np.stack([CLOCK, np.sin(CLOCK)], 1)
    found = trajectories.components(embedded(path), 3)
    assert found.shares.sum() == pytest.approx(1) and found.shares[2] < 1e-12
    between = lambda at: np.linalg.norm(at[:, None] - at[None], axis=-1)  # noqa: E731
    assert np.allclose(between(found.scores), between(path), atol=1e-6)
    assert (found.scores[-1, :2] > 0).all()


def test_components_of_a_long_random_walk_are_cosines() -> None:
    """Antognini and Sohl-Dickstein (arXiv:1806.08805): the k-th is cos(pi k t / T), with a share of 6 / (pi k)^2."""
    count = 60
    walk = np.cumsum(DRAWN.standard_normal((count, 20_000)), 0)
    found = trajectories.components(walk, 3)
    for k in (1, 2, 3):
        cosine = np.cos(np.pi * k * (np.arange(count) + 0.5) / count)
        assert abs(np.corrcoef(found.scores[:, k - 1], cosine)[0, 1]) > 0.995
        assert found.shares[k - 1] == pytest.approx(6 / (np.pi * k) ** 2, rel=0.05)


def test_turning_is_the_angle_a_unit_of_log_step() -> None:
    for rate in (0.5, 1.5):
        circle = np.stack([np.cos(rate * CLOCK), np.sin(rate * CLOCK)], 1)
        path = trajectories.smoothed(STEPS, trajectories.components(embedded(circle), 2).scores)
        late = path.steps > 50  # where checkpoints are dense
        assert np.median(path.turning[late]) == pytest.approx(rate, rel=0.05)
    straight = np.outer(CLOCK, [1.0, 2.0])
    assert trajectories.smoothed(STEPS, straight).turning.max() < 1e-6  # the control


def test_a_planted_corner_is_a_turn_and_a_random_walk_has_none_more_often_than_said() -> None:
    corner = np.log1p(3000.0)
    path = np.stack([np.minimum(CLOCK, corner), 0.2 * (np.maximum(CLOCK, corner) - corner)], 1)
    outputs = embedded(path) + 1e-4 * DRAWN.standard_normal((len(STEPS), 500))
    dimensions = trajectories.lengths(outputs)[1]
    assert 2 <= dimensions < 10  # nearly all in two, with a little noise
    scores = trajectories.components(outputs, 2).scores
    found = trajectories.turns(trajectories.smoothed(STEPS, scores), least=2.0)
    assert len(found) == 1 and abs(np.log1p(found[0].step) - corner) < 0.3
    moves = np.ones(len(STEPS) - 1)
    walks = [trajectories.smoothed(STEPS, one.scores) for one in trajectories.random_walks(moves, 30, draws=120)]
    least = trajectories.level(walks[:60])
    false = np.mean([bool(trajectories.turns(walk, least)) for walk in walks[60:]])
    assert false < 0.05 + 4 * np.sqrt(0.05 * 0.95 / 60)


def test_walks_have_the_lengths_and_dimensions_that_are_asked_for() -> None:
    lengths = DRAWN.uniform(0.5, 2.0, 40)
    moves = DRAWN.standard_normal((40, 4000))
    moves *= lengths[:, None] / np.linalg.norm(moves, axis=1, keepdims=True)
    sizes, dimensions = trajectories.lengths(np.cumsum(np.concatenate([np.zeros((1, 4000)), moves]), 0))
    assert np.allclose(sizes, lengths) and 36 <= dimensions <= 40  # independent directions, as many as steps
    line = np.outer(np.arange(20.0), np.ones(30))
    assert trajectories.lengths(line)[1] == 2  # the fewest in which a walk can turn


def test_too_few_checkpoints_are_refused() -> None:
    with pytest.raises(NotMeasurable, match="7 checkpoints are too few for a path: give 8 or more"):
        trajectories.smoothed(STEPS[:7], np.zeros((7, 2)))
