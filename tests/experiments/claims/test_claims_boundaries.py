"""Claims 13 and 14 on planted boundaries: found where they stand at the stages, and not where they stand elsewhere."""

from pathlib import Path

import numpy as np
import pytest

from ablations.not_measurable import NotMeasurable
from experiments import runs
from experiments.claims import function_stages, landscape_stages, stage_boundaries
from experiments.claims.stage_boundaries import Boundaries
from experiments.results import plan
from experiments.results.cells import Cells
from experiments.statistics import trajectories
from experiments.statistics.nearness import drawn_checkpoints
from experiments.statistics.onsets import log_time
from experiments.study.study import Study
from experiments.study.verdict import Finding

STEPS = np.unique(np.round(np.expm1(np.linspace(0, np.log1p(20_000), 30)))).astype(int)
RUNS = [f"seed{number}" for number in range(6)]


def planted(run: str, seed: int, at_stages: bool, steps: np.ndarray = STEPS) -> Boundaries:
    """Three stages at times of the run's own; boundaries there, or anywhere."""
    onsets, elsewhere = drawn_checkpoints(steps, 3, draws=2, seed=seed)
    found = onsets * 1.02 if at_stages else elsewhere
    return Boundaries(run, steps, found, drawn_checkpoints(steps, 3, draws=500, seed=100 + seed), onsets)


def judged(used: list[Boundaries]) -> Finding:
    return stage_boundaries.judge(landscape_stages.CLAIM, used, name="points")


@pytest.mark.parametrize(("at_stages", "verdict"), [(True, "replicated"), (False, "inconclusive")])
def test_boundaries_at_the_stages_are_found_and_others_are_not(at_stages: bool, verdict: str) -> None:
    found = judged([planted(run, seed, at_stages) for seed, run in enumerate(RUNS)])
    assert found.verdict == verdict
    assert not found.controls[0].fired
    assert found.p is not None and (found.p < 0.05) == at_stages
    assert found.record()["interest"] == "0.1 in log step" and found.seeds_needed is not None
    if at_stages:
        assert found.interval is not None and found.interval[0] > 0
        assert found.details["p against other seeds"] == 1 / 64


def test_boundaries_that_lie_no_nearer_than_chance_in_any_seed_are_absent() -> None:
    every = []
    for seed, run in enumerate(RUNS):
        one = planted(run, seed, False)
        every.append(one._replace(by_chance=[one.found * 1.001, one.found * 0.999] * 25))  # chance does the same
    assert judged(every).verdict == "absent"


def test_boundaries_away_from_the_stages_contradict() -> None:
    every = [planted(run, seed, True) for seed, run in enumerate(RUNS)]
    away = [one._replace(found=one.onsets * 8.0, by_chance=[one.onsets * 1.1] * 50) for one in every]
    assert judged(away).verdict == "contradicted"


def test_stages_that_all_seeds_share_do_not_tell_a_run_from_the_others() -> None:
    found = judged([planted(run, 0, True) for run in RUNS])  # nearer than chance, no nearer than the other seeds'
    assert found.details["p against chance"] < 0.05 and found.details["p against other seeds"] == 1.0
    assert found.verdict == "inconclusive"


def test_a_run_without_boundaries_meets_nothing_and_one_without_stages_cannot_be_tested() -> None:
    every = [planted(run, seed, True) for seed, run in enumerate(RUNS)]
    none = [one._replace(found=np.array([]), by_chance=[]) for one in every]
    assert judged(none).verdict == "inconclusive"
    found = judged([none[0], *every[1:]])
    assert found.verdict == "inconclusive" and "seed0: points at steps none" in found.diagnosis
    assert judged([every[0]._replace(onsets=np.array([])), *every[1:]]).verdict == "not testable"


def test_too_few_checkpoints_are_not_measured_at_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cells = Cells(tmp_path, runs.open_run("mini-seed0"), plan.default_plan("python", 256))
    study = Study((cells,))
    with pytest.raises(NotMeasurable, match=r"mini-seed0 has 9 checkpoints at which .*: 20 are needed"):
        landscape_stages.find(study)
    with pytest.raises(NotMeasurable, match=r"mini-seed0 has 18 steps at which .*: 100 are needed"):
        function_stages.find(study)
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(landscape_stages, "LEAST", 9)  # the control: with enough, it goes on to measure
    monkeypatch.setattr(stage_boundaries, "onsets", lambda study: (_ for _ in ()).throw(RuntimeError("measured")))
    with pytest.raises(RuntimeError, match="measured"):
        landscape_stages.find(study)


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
        found = function_stages.of_path("one", steps, values, own, np.array([corner]))
        assert len(found.found) == 1 and abs(np.log1p(found.found[0]) - np.log1p(corner)) < 0.3
        assert len(found.by_chance) == 200 and all(len(one) == 1 for one in found.by_chance)
    clock = log_time(steps)
    straight = np.outer(clock, np.ones(300)) + 0.01 * np.random.default_rng(0).standard_normal((len(steps), 300))
    (own,) = function_stages.joint_scores([straight])
    alone = function_stages.of_path("one", steps, straight, own, np.array([9.0]))
    assert not len(alone.found)  # the control


def test_paths_of_other_outputs_share_no_axes_and_short_ones_have_no_turns() -> None:
    with pytest.raises(NotMeasurable, match="share no axes"):
        function_stages.joint_scores([np.zeros((5, 3)), np.zeros((5, 4))])
    few = STEPS[: trajectories.FEWEST - 1]
    found = function_stages.of_path("one", few, np.zeros((len(few), 9)), np.zeros((len(few), 3)), np.array([5.0]))
    assert not len(found.found) and not found.by_chance
