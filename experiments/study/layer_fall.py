"""Whether the early snapshot lies before the coefficients of layer 0's heads, against a one-layer model, begin to fall.

Claims about what layer 0 hands over compare the early snapshot with the end: it must still show what was there before.
"""

import numpy as np
from jaxtyping import Float, Int

from experiments.measurements.variants import RELATIVE, VALUE, middle_step
from experiments.results.cells import Cells
from experiments.study.labelled_heads import labelled
from experiments.study.study import Study

ALLOWED = 0.2  # of the fall from its peak to the end may be over at the early snapshot


def too_late(study: Study, cells: Cells) -> str:
    """Why a run's early snapshot comes too late; empty where it does not. Raises NotMeasurable where the coefficients
    against the one-layer model are not sampled.
    """
    steps, mean = layer_mean(study, cells)
    early = middle_step(cells.run)
    lost = share_lost(steps, mean, early)
    if lost <= ALLOWED:
        return ""
    return (
        f"at the early snapshot (step {early:,}) of {cells.run.name} layer 0's rLLCs against the one-layer model have "
        f"already lost {100 * lost:.0f}% of their fall from the peak to the end: at most {100 * ALLOWED:.0f}% is asked"
    )


def layer_mean(study: Study, cells: Cells) -> tuple[Int[np.ndarray, " step"], Float[np.ndarray, " step"]]:
    """The mean coefficient against the one-layer model of layer 0's active heads at every trained checkpoint of it."""
    types, found = study.types(cells), study.rllc(cells, RELATIVE)
    heads = types.restriction.values[~labelled(types, "inactive")].tolist()
    first = [name for name in heads if name.startswith("L0H")]
    trained = found[VALUE].sel(restriction=first, step=found.step.values[found.step.values > 0])
    return trained.step.values, trained.mean("restriction").values


def share_lost(steps: Int[np.ndarray, " step"], mean: Float[np.ndarray, " step"], early: int) -> float:
    """The share of the fall from the peak to the end that is over at a step, on a curve that is straight in log step
    between checkpoints: 0 before the peak, and where there is no fall.
    """
    peak = int(np.argmax(mean))
    fall = mean[peak] - mean[-1]
    if steps[peak] >= early or not fall > 0:
        return 0.0
    return float((mean[peak] - np.interp(np.log(early), np.log(steps), mean)) / fall)
