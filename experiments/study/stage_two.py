"""When a run's second stage begins: the rise of a previous-token head in the first layer."""

import numpy as np
import xarray as xr

SECOND_STAGE = 0.10  # of the rise of the best previous-token score of layer 0


def second_stage(scores: xr.Dataset) -> int:
    """The first checkpoint where the best previous-token score of layer 0 has passed a tenth of its rise.

    scores: `previous_token` [step, restriction], as the kind scores gives it.
    """
    best = scores.previous_token.values[:, scores.layer.values == 0].max(1)
    passed = best >= best[0] + SECOND_STAGE * (best[-1] - best[0])
    return int(scores.step.values[np.flatnonzero(passed)[0]])
