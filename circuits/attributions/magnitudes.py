"""How large what a source writes is as the target reads it: the order of paths that any attribution should beat.

    size = || (what the source writes on the corrupted prompts - on the clean ones) / scale @ W ||

with the target's own weights W (of its queries, keys or values; W_in of an MLP; for the output the unembedding), its
layer norm's weights and the scale of the clean run, and the norm over the prompt's positions and dimensions; for the
output at the position of the answer alone. It knows what moves, and not whether the task minds.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from ablations import forward, rerun
from ablations.forward import Weights
from ablations.models import Config
from ablations.names import mlp_layer
from ablations.paths import Path
from ablations.running import as_in_workers
from circuits.attributions.changes import Runs, as_estimates, runs
from circuits.discover_exact import at_ends
from circuits.discover_paths import Effects
from circuits.tasks import Metric, Task, logit_difference


@as_in_workers()
def magnitudes(
    weights: Weights, cfg: Config, task: Task, paths: Sequence[Path], metric: Metric = logit_difference
) -> Effects:
    """Sizes of the paths, by prompt; none is negative, and their units are those of what the target reads. The metric
    is only what the record has of both runs.
    """
    of = runs(weights, cfg, task, paths, metric)
    with torch.no_grad():
        return as_estimates(of, paths, [_size(of, path) for path in paths])


def _size(of: Runs, path: Path) -> Float[Tensor, " prompt"]:
    change = _of_prompt(of.clean, of.change(path.source))
    if (of_mlp := mlp_layer(path.target)) is not None:
        name, weight = f"blocks.{of_mlp}.ln2", of.weights[f"blocks.{of_mlp}.mlp.W_in"]
        stream = rerun.mlp_stream(of.weights, of.cfg, of.clean, of_mlp)
    elif isinstance(path.target, str):
        name, stream, weight = "ln_final", of.clean.residuals[-1], of.weights["unembed.W_U"]
        stream, change = at_ends(of.clean, stream), at_ends(of.clean, change)
    else:
        layer, head = path.target
        name, stream = f"blocks.{layer}.ln1", of.clean.residuals[layer]
        weight = of.weights[f"blocks.{layer}.attn.W_{str(path.via).upper()}"][head]
    before, after = (
        forward.normalize_as(of.weights, of.cfg, name, at, like=stream) for at in (stream, stream + change)
    )
    return ((after - before) @ weight).flatten(1).norm(dim=1)


def _of_prompt(clean: rerun.Clean, change: Tensor) -> Tensor:
    """Without what padding after a prompt makes."""
    if clean.ends is None:
        return change
    inside = torch.arange(change.shape[1], device=change.device) <= clean.ends[:, None]
    return change * inside[:, :, None]
