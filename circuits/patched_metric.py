"""A task's logits and its metric with any set of paths patched: what is told of a circuit as a whole rests on them."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ablations.changes import Change
from ablations.forward import Weights
from ablations.models import Config
from ablations.not_measurable import NotMeasurable
from ablations.paths import Path
from ablations.rerun import Run
from circuits.discover_exact import last_logits, patched_run
from circuits.discover_paths import candidates
from circuits.tasks import Metric, Task


class PatchedMetric(NamedTuple):
    """A task on a model: its clean run, in which the sources of patched paths carry what they write on the corrupted
    prompts.
    """

    run: Run
    task: Task
    metric: Metric
    whole: float  # the mean of the metric in the clean run
    none: float  # with every path patched

    def logits(self, patched: Sequence[Path]) -> Float[Tensor, "prompt last vocab"]:
        """After the last token, with these paths patched and all others left as they are."""
        with torch.no_grad():
            return last_logits(self.run, Change(cuts=tuple(patched)))

    def by_prompt(self, patched: Sequence[Path]) -> Float[np.ndarray, " prompt"]:
        """The metric."""
        return self.metric(self.task, self.logits(patched)).double().numpy()

    def share(self, patched: Sequence[Path]) -> float:
        """How much of the mean metric is left: 1 the clean run, 0 the run with all paths patched."""
        return (float(self.by_prompt(patched).mean()) - self.none) / (self.whole - self.none)


def patched_metric(weights: Weights, cfg: Config, task: Task, metric: Metric) -> PatchedMetric:
    """Both runs of the task, made ready to patch.

    Raises NotMeasurable where patching everything changes nothing (there is no task to do), or the metric is not a
    number.
    """
    with torch.no_grad():
        run, clean, _ = patched_run(weights, cfg, task, metric)
    made = PatchedMetric(run, task, metric, float(clean.mean()), math.nan)
    whole, none = made.whole, float(made.by_prompt(candidates(cfg)).mean())
    if not math.isfinite(whole - none):
        raise NotMeasurable(
            f"the metric is {whole} on clean prompts and {none} with every path patched: the model's logits are not "
            "numbers, take another checkpoint"
        )
    if abs(whole - none) < 1e-6:
        raise NotMeasurable(
            "patching every path changes nothing: the model does not do the task, take another task or checkpoint"
        )
    return made._replace(none=none)
