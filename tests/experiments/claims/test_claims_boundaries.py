"""Claims 13 and 14 on planted boundaries: found where they stand at the stages, and not where they stand elsewhere."""

import numpy as np
import pytest

from ablations.not_measurable import NotMeasurable
from experiments.claims import function_stages, landscape_stages, stage_boundaries
from experiments.claims.stage_boundaries import Boundaries
from experiments.statistics import trajectories
from experiments.statistics.nearness import drawn_checkpoints
from experiments.statistics.onsets import log_time

STEPS = np.unique(np.round(np.expm1(np.linspace(0, np.log1p(20_000), 30)))).astype(int)
RUNS = [f"seed{number}" for number in range(6)]


def planted(run: str, seed: int, at_stages: bool, steps: np.ndarray = STEPS) -> Boundaries:
    """Three stages at times of the run's own; boundaries there, or anywhere."""
    onsets, elsewhere = drawn_checkpoints(steps, 3, draws=2, seed=seed)
    found = onsets * 1.02 if at_stages else elsewhere
    return Boundaries(run, steps, found, drawn_checkpoints(steps, 3, draws=500, seed=100 + seed), onsets)


@pytest.mark.parametrize(("at_stages", "verdict"), [(True, "replicated"), (False, "inconclusive")])
def test_boundaries_at_the_stages_are_found_and_others_are_not(at_stages: bool, verdict: str) -> None:
    every = [planted(run, seed, at_stages) for seed, run in enumerate(RUNS)]
    found = stage_boundaries.judge(landscape_stages.CLAIM, every, RUNS, least=20, name="points")
    assert found.verdict == verdict
    assert not found.controls[0].fired
    assert found.p is not None and (found.p < 0.05) == at_stages
    if at_stages:
        assert found.interval is not None and found.interval[0] > 0
        assert found.details["p against other seeds"] == 1 / 64


def test_stages_that_all_seeds_share_do_not_tell_a_run_from_the_others() -> None:
    every = [planted(run, 0, True) for run in RUNS]  # nearer than chance, no nearer than the other seeds'
    found = stage_boundaries.judge(landscape_stages.CLAIM, every, RUNS, least=20, name="points")
    assert found.details["p against chance"] < 0.05 and found.details["p against other seeds"] == 1.0
    assert found.verdict == "inconclusive"


def test_too_few_checkpoints_are_not_testable_and_the_numbers_are_there_all_the_same() -> None:
    few = STEPS[::2]
    every = [planted(run, seed, True, few) for seed, run in enumerate(RUNS)]
    found = stage_boundaries.judge(landscape_stages.CLAIM, every, RUNS, least=20, name="points")
    assert found.verdict == "not testable" and found.value is not None and found.value > 0
    assert f"({len(few)} checkpoints, where 20 are needed)" in found.diagnosis


def test_a_run_without_boundaries_meets_nothing() -> None:
    none = [planted(run, seed, True)._replace(found=np.array([]), by_chance=[]) for seed, run in enumerate(RUNS)]
    assert stage_boundaries.judge(landscape_stages.CLAIM, none, RUNS, least=20, name="points").verdict == "inconclusive"
    some = [*none[:1], *(planted(run, seed, True) for seed, run in enumerate(RUNS[1:]))]
    found = stage_boundaries.judge(landscape_stages.CLAIM, some, RUNS, least=20, name="points")
    assert found.verdict == "inconclusive" and "seed0: points at steps none" in found.diagnosis


def outputs(corner: float, seed: int, steps: np.ndarray) -> np.ndarray:
    """A path of 300 outputs that turns back at a step (a cusp), with noise in all directions."""
    drawn, clock = np.random.default_rng(seed), log_time(steps)
    path = np.stack([-np.abs(clock - np.log1p(corner)), 0.02 * clock], 1)
    turned = np.linalg.qr(np.random.default_rng(9).standard_normal((300, 2)))[0]
    return path @ turned.T + 0.01 * drawn.standard_normal((len(steps), 300))


def test_a_cusp_of_the_path_is_a_turn_at_its_step() -> None:
    steps = np.unique(np.round(np.expm1(np.linspace(0, np.log1p(20_000), 120)))).astype(int)
    both = [outputs(3000.0, 0, steps), outputs(1000.0, 1, steps)]
    scores = function_stages.joint_scores(both)
    for corner, values, own in zip((3000.0, 1000.0), both, scores, strict=True):
        found = function_stages.of_path("one", steps, own, values, np.array([corner]))
        assert len(found.found) == 1 and abs(np.log1p(found.found[0]) - np.log1p(corner)) < 0.3
        assert len(found.by_chance) == 200 and all(len(one) == 1 for one in found.by_chance)
    clock = log_time(steps)
    straight = np.outer(clock, np.ones(300)) + 0.01 * np.random.default_rng(0).standard_normal((len(steps), 300))
    alone = function_stages.of_path(
        "one", steps, function_stages.joint_scores([straight])[0], straight, np.array([9.0])
    )
    assert not len(alone.found)  # the control


def test_paths_of_other_outputs_share_no_axes_and_short_ones_have_no_turns() -> None:
    with pytest.raises(NotMeasurable, match="share no axes"):
        function_stages.joint_scores([np.zeros((5, 3)), np.zeros((5, 4))])
    few = STEPS[: trajectories.FEWEST - 1]
    found = function_stages.of_path("one", few, np.zeros((len(few), 3)), np.zeros((len(few), 9)), np.array([5.0]))
    assert not len(found.found) and not found.by_chance
