"""Claim 14: the path in function space turns where the scores say that a stage begins."""

import numpy as np

from ablations.not_measurable import NotMeasurable
from experiments.claims import stage_boundaries
from experiments.claims.stage_boundaries import Boundaries
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
    """Turns of every run's path, on axes that all runs share, against the onsets of its scores."""
    outputs = [study.logits(cells) for cells in study.cells]
    joint = joint_scores([values for _, values in outputs])
    every = [
        of_path(cells.run.name, steps, scores, values, onsets)
        for cells, (steps, values), scores, onsets in zip(
            study.cells, outputs, joint, stage_boundaries.onsets(study), strict=True
        )
    ]
    judged = [cells.run.name for cells in study.judged]
    return stage_boundaries.judge(CLAIM, every, judged, least=LEAST, name="turns of the path")


def joint_scores(outputs: list[np.ndarray]) -> list[np.ndarray]:
    """The principal components of the outputs [step, output] of all runs together, run by run."""
    if len({values.shape[1] for values in outputs}) > 1:
        raise NotMeasurable("these runs have not the same inputs and tokens: their paths share no axes")
    scores = trajectories.components(np.concatenate(outputs)).scores
    return np.split(scores, np.cumsum([len(values) for values in outputs])[:-1])


def of_path(run: str, steps: np.ndarray, scores: np.ndarray, outputs: np.ndarray, onsets: np.ndarray) -> Boundaries:
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
