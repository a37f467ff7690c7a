"""AtP*: attribution patching with two corrections (Kramar et al. 2024, arXiv:2403.00745).

A path into queries or keys is carried through the softmax: the head's pattern is computed with the changed query or
key, and only what the head then gives is multiplied with a gradient. And the gradient is taken again and again with
one layer left out (GradDrop), so that effects which cancel each other through different layers are seen: the size is
the sum of the sizes without each layer, over the number of layers less one, which makes up for the path's own layer.
Signs are those without GradDrop; in two layers an effect that goes through the only other one is lost by it.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from ablations import forward
from ablations.forward import Weights
from ablations.models import Config
from ablations.paths import Path
from ablations.running import as_in_workers
from circuits.attributions.changes import Runs, as_estimates, attributed, runs
from circuits.attributions.gradients import Gradients, Rules, Z, gradients
from circuits.discover_paths import Effects
from circuits.tasks import Metric, Task, logit_difference


@as_in_workers()
def atp_star(
    weights: Weights,
    cfg: Config,
    task: Task,
    paths: Sequence[Path],
    metric: Metric = logit_difference,
    drop: bool = True,
) -> Effects:
    """Estimates of the paths' effects. drop: GradDrop; its sizes are of the mean over prompts, and every prompt has the
    same. Without it, or in a model of one layer, estimates are by prompt.
    """
    of = runs(weights, cfg, task, paths, metric)
    start = of.clean.residuals[0]
    with torch.no_grad():
        moved = [_moved(of, path) for path in paths]
    whole = gradients(weights, cfg, start, of.of_logits)
    effect = [_estimated(of, path, given, whole) for path, given in zip(paths, moved, strict=True)]
    if not drop or cfg.n_layers < 2:
        return as_estimates(of, paths, effect)
    sizes = [torch.zeros(()) for _ in paths]
    for layer in range(cfg.n_layers):
        found = gradients(weights, cfg, start, of.of_logits, Rules(without_layer=layer))
        for number, (path, given) in enumerate(zip(paths, moved, strict=True)):
            sizes[number] = sizes[number] + _estimated(of, path, given, found).mean().abs() / (cfg.n_layers - 1)
    signed = (one.mean().sign() * size for one, size in zip(effect, sizes, strict=True))
    return as_estimates(of, paths, [one.expand(len(task.right)) for one in signed])


def _estimated(of: Runs, path: Path, moved: Tensor | None, found: Gradients) -> Float[Tensor, " prompt"]:
    if moved is None:
        return attributed(of, path, found)
    assert not isinstance(path.target, str)
    layer, head = path.target
    return (found[layer, Z][:, :, head] * moved).sum((1, 2))


def _moved(of: Runs, path: Path) -> Float[Tensor, "prompt pos d_head"] | None:
    """How much what the target gives moves where its query or key reads the change; None for other paths."""
    if isinstance(path.target, str) or path.via == "v":
        return None
    layer, head = path.target
    own = forward.one_head(of.weights, layer, head)
    residual = of.clean.residuals[layer]
    read, changed = (
        forward.readings(of.weights, of.cfg, layer, stream) for stream in (residual, residual + of.change(path.source))
    )
    query = forward.received(changed if path.via == "q" else read, "q", own.W_Q, own.b_Q)
    key = forward.received(changed if path.via == "k" else read, "k", own.W_K, own.b_K)
    value = forward.received(read, "v", own.W_V, own.b_V)
    return forward.attend(query, key, value, of.cfg.attn_scale)[:, :, 0] - of.clean.z[layer][:, :, head]
