"""Whether runs are trained far enough for claims about late training, which a model that still learns fast cannot test.

Training sees about 0.1 billion tokens in these models and 5.1 billion in the paper's: what the paper sees late may come
after the end here.
"""

import numpy as np
import xarray as xr

from experiments.measurements.scores import SCORES
from experiments.runs.run import Run
from experiments.study.study import Study

FALL = 0.05  # nats per doubling of the training tokens: a run whose loss falls by less is settled
LATE = 0.5  # of the last step: checkpoints from there on show the fall


def untestable(study: Study) -> list[str]:
    """A sentence (without a full stop) for each judged run that is not settled, with how fast its loss still falls."""
    return [why for cells in study.judged if (why := _unsettled(cells.run, cells.table(SCORES)))]


def _unsettled(run: Run, scores: xr.Dataset) -> str:
    """Why a run is not settled by its held-out loss; empty where it is."""
    steps = late_steps(scores)
    if len(steps) < 2:
        return f"{run.name} has no two trained checkpoints, which would show whether its loss still falls"
    fall = fall_per_doubling(scores)
    if fall < FALL:
        return ""
    return (
        f"the held-out loss of {run.name} still falls by {fall:.3f} nats per doubling of training tokens at its end "
        f"(steps {steps[0]:,} to {steps[-1]:,}): less than {FALL:g} is asked"
    )


def fall_per_doubling(scores: xr.Dataset) -> float:
    """How many nats the held-out loss falls per doubling of the step over the last checkpoints, by least squares.

    scores: `loss` [step] with two trained checkpoints or more.
    """
    steps = late_steps(scores)
    return -float(np.polyfit(np.log2(steps), scores.loss.sel(step=steps).values, 1)[0])


def late_steps(scores: xr.Dataset) -> list[int]:
    """The checkpoints of the last doubling of the training, or the last two where there are fewer; never step 0."""
    trained = [step for step in scores.step.values.tolist() if step > 0]
    late = [step for step in trained if step >= LATE * trained[-1]]
    return late if len(late) > 1 else trained[-2:]
