"""What every path's source writes more on the corrupted prompts, and what a gradient makes of it."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ablations import rerun
from ablations.forward import Weights
from ablations.models import Config
from ablations.names import mlp_layer
from ablations.paths import OUTPUT, Path, Source, target_layer
from circuits.attributions.gradients import MLP, Gradients
from circuits.discover_exact import at_ends, both_runs, patched_run
from circuits.discover_paths import Effects, as_effects, check_paths
from circuits.tasks import Metric, Task


class Runs(NamedTuple):
    """Both runs of a task, made ready for gradients."""

    weights: Weights
    cfg: Config
    task: Task
    metric: Metric
    clean: rerun.Clean
    corrupted: rerun.Clean
    ends: tuple[Float[Tensor, " prompt"], Float[Tensor, " prompt"]]  # the metric in the clean and in the corrupted run

    def of_logits(self, logits: Tensor) -> Tensor:
        """The metric of all logits, by prompt."""
        return self.metric(self.task, at_ends(self.clean, logits).cpu())

    def change(self, source: Source) -> Float[Tensor, "prompt pos d_model"]:
        """What a source writes on the corrupted prompts, less what it writes on the clean ones."""
        if (of_mlp := mlp_layer(source)) is not None:
            return self.corrupted.mlps[of_mlp] - self.clean.mlps[of_mlp]
        if isinstance(source, str):
            return self.corrupted.residuals[0] - self.clean.residuals[0]
        layer, head = source
        W_O = self.weights[f"blocks.{layer}.attn.W_O"][head]
        return (self.corrupted.z[layer][:, :, head] - self.clean.z[layer][:, :, head]) @ W_O


def runs(weights: Weights, cfg: Config, task: Task, paths: Sequence[Path], metric: Metric) -> Runs:
    """Raises ValueError for no paths, paths that the model does not have, and prompts and answers that do not
    correspond.
    """
    check_paths(paths, cfg)
    task = task._replace(right=task.right.clone(), wrong=task.wrong.clone())  # indices are saved for gradients
    with torch.no_grad():
        _, of_clean, of_corrupted = patched_run(weights, cfg, task, metric)
        clean, corrupted = both_runs(weights, cfg, task)
    return Runs(weights, cfg, task, metric, clean, corrupted, (of_clean, of_corrupted))


def attributed(of: Runs, path: Path, gradients: Gradients) -> Float[Tensor, " prompt"]:
    """Gradient of what the path's target reads, times the change in what its source writes."""
    change = of.change(path.source)
    if isinstance(path.target, str):
        read = target_layer(path.target, of.cfg), OUTPUT if path.target == OUTPUT else MLP
        return (gradients[read] * change).sum((1, 2))
    return (gradients[path.target[0], str(path.via)][:, :, path.target[1]] * change).sum((1, 2))


def as_estimates(of: Runs, paths: Sequence[Path], effect: Sequence[Tensor]) -> Effects:
    """The record of estimates by path [prompt]; they have no p."""
    return as_effects(paths, torch.stack(list(effect)), *of.ends, np.full(len(paths), np.nan))
