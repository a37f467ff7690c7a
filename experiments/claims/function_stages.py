"""Claim 14: the path in function space turns where the scores say that a stage begins."""

from collections.abc import Callable

import numpy as np

from ablations.not_measurable import NotMeasurable
from experiments.claims import stage_boundaries
from experiments.claims.stage_boundaries import Boundaries
from experiments.runs.trajectory import holders
from experiments.statistics import trajectories
from experiments.statistics.trajectories import Path
from experiments.study.study import Study
from experiments.study.verdict import Claim, Finding

CLAIM = Claim(
    number=14,
    name="stages in function space",
    statement="the path of the logits over training turns at the same stages as the scores show",
    precondition="logits at 100 steps or more",
    criterion="its turns are nearer to the onsets than those of random walks and than other seeds', p < 0.05 for both",
    figure="trajectory",
)
LEAST = 100


def find(study: Study) -> Finding:
    """Turns of every judged run's path, on axes that they share, against the onsets of its scores.

    Raises NotMeasurable for too few steps, before anything is measured.
    """
    known = {cells.run.name: len(holders(cells.run)) for cells in study.judged}
    stage_boundaries.need(known, LEAST, "steps at which its weights are known")
    outputs = [study.logits(cells) for cells in study.judged]
    joint = joint_scores([values for _, values in outputs])
    each = zip(study.judged, outputs, joint, stage_boundaries.onsets(study), strict=True)
    used = [of_path(cells.run.name, *path, scores, onsets) for cells, path, scores, onsets in each]
    return stage_boundaries.judge(CLAIM, used, name="turns of the path")


def joint_scores(outputs: list[np.ndarray]) -> list[np.ndarray]:
    """The principal components of the outputs [step, output] of all runs together, run by run."""
    if len({values.shape[1] for values in outputs}) > 1:
        raise NotMeasurable("these runs have not the same inputs and tokens: their paths share no axes")
    scores = trajectories.components(np.concatenate(outputs)).scores
    return np.split(scores, np.cumsum([len(values) for values in outputs])[:-1])


def of_path(run: str, steps: np.ndarray, outputs: np.ndarray, scores: np.ndarray, onsets: np.ndarray) -> Boundaries:
    """The places at which a path turns faster than random walks with its step lengths do anywhere, and as many turns,
    the fastest, of each walk; none where there are too few steps to smooth.
    """
    if len(steps) < trajectories.FEWEST:
        return Boundaries(run, steps, np.array([]), [], onsets)
    walks = [
        trajectories.smoothed(steps, one.scores) for one in trajectories.random_walks(*trajectories.lengths(outputs))
    ]
    path = trajectories.smoothed(steps, scores)
    found = np.array([turn.step for turn in trajectories.turns(path, trajectories.level(walks))])
    by_chance = [fastest(walk, len(found)) for walk in walks] if len(found) else []
    return Boundaries(run, steps, found, by_chance, onsets)


def fastest(path: Path, count: int) -> np.ndarray:
    """The steps of the path's fastest turns, as many as asked for where it has them; of its fastest place where it has
    no turn.
    """
    every = sorted(trajectories.turns(path, 0.0), key=lambda turn: -turn.turning)[:count]
    return np.sort([turn.step for turn in every]) if every else path.steps[[int(path.turning.argmax())]]


FINDERS: dict[Claim, Callable[[Study], Finding]] = {CLAIM: find}
