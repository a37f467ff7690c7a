"""Gradient approximations of path effects: edge attribution patching.

EAP (Syed et al. 2023, arXiv:2310.10348) takes the gradient of the metric with respect to what the target of a path
reads, times the change in what its source writes, from the clean to the corrupted prompt. EAP-IG (Hanna et al. 2024,
arXiv:2403.17806) takes the mean of that gradient on the way from the corrupted to the clean embeddings.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from einops import einsum
from jaxtyping import Float
from torch import Tensor

from ablations import forward, rerun
from ablations.forward import Weights
from ablations.models import Config
from ablations.paths import OUTPUT, Path
from ablations.rotary import turned
from ablations.running import as_in_workers
from circuits.discover_exact import at_ends, both_runs, patched_run
from circuits.discover_paths import Effects, as_effects, check_paths
from circuits.tasks import Metric, Task, logit_difference

IG_STEPS = 5

# Of the metric, with respect to what is read: by layer and input ("q", "k", "v" [prompt, pos, head, d_model]), and for
# the output by (n_layers, OUTPUT) [prompt, pos, d_model].
Gradients = dict[tuple[int, str], Tensor]


@as_in_workers()
def attribution(
    weights: Weights,
    cfg: Config,
    task: Task,
    paths: Sequence[Path],
    metric: Metric = logit_difference,
    steps: int = 1,
) -> Effects:
    """Effects of paths as gradients estimate them: EAP for one step (at the clean prompts), EAP-IG for more (`IG_STEPS`
    are usual).

    Signs and units are those of exact effects; p is NaN. Raises ValueError for no steps, no paths, paths that the model
    does not have, and prompts and answers that do not correspond.
    """
    if steps < 1:
        raise ValueError(f"steps={steps}: at least one gradient is needed")
    check_paths(paths, cfg)
    task = task._replace(right=task.right.clone(), wrong=task.wrong.clone())  # indices are saved for gradients
    with torch.no_grad():
        _, of_clean, of_corrupted = patched_run(weights, cfg, task, metric)
        clean, corrupted = both_runs(weights, cfg, task)
    start, end = corrupted.residuals[0], clean.residuals[0]
    mean: Gradients = {}
    for step in range(1, steps + 1):
        embedded = start + step / steps * (end - start)
        gradients = _gradients(weights, cfg, embedded, lambda logits: metric(task, at_ends(clean, logits).cpu()))
        mean = {name: mean.get(name, 0) + gradient / steps for name, gradient in gradients.items()}
    effect = torch.stack([_attributed(weights, path, mean, clean, corrupted, cfg) for path in paths])
    return as_effects(paths, effect, of_clean, of_corrupted, np.full(len(paths), np.nan))


def _gradients(weights: Weights, cfg: Config, residual: Tensor, metric: Callable[[Tensor], Tensor]) -> Gradients:
    """Gradients of the metric of a run from these embeddings, taken at shifts of 0 of all that is read."""
    shifts: Gradients = {}
    for layer in range(cfg.n_layers):
        heads = forward.head_weights(weights, layer)
        read: list[Tensor] = []  # queries, keys, values
        for name, weight, bias in (
            ("q", heads.W_Q, heads.b_Q),
            ("k", heads.W_K, heads.b_K),
            ("v", heads.W_V, heads.b_V),
        ):
            shift = residual.new_zeros(*residual.shape[:2], cfg.n_heads, cfg.d_model, requires_grad=True)
            shifts[layer, name] = shift
            normalized = forward.normalize(weights, cfg, f"blocks.{layer}.ln1", residual[:, :, None] + shift)
            if name != "v" and cfg.positional_embedding_type == "shortformer":
                normalized = normalized + weights["pos_embed.W_pos"][: residual.shape[1], None]
            vectors = einsum(
                normalized, weight, "prompt pos head d_model, head d_model d_head -> prompt pos head d_head"
            )
            vectors = vectors + bias
            read.append(vectors if name == "v" else turned(vectors, forward.rotary(weights, cfg, residual.shape[1])))
        query, key, value = read
        residual = forward.after_layer(weights, cfg, layer, residual, forward.attend(query, key, value, cfg.attn_scale))
    shifts[cfg.n_layers, OUTPUT] = torch.zeros_like(residual, requires_grad=True)
    total = metric(forward.unembed(weights, cfg, residual + shifts[cfg.n_layers, OUTPUT])).sum()
    return dict(zip(shifts, torch.autograd.grad(total, list(shifts.values())), strict=True))


def _attributed(
    weights: Weights,
    path: Path,
    gradients: Gradients,
    clean: rerun.Clean,
    corrupted: rerun.Clean,
    cfg: Config,
) -> Float[Tensor, " prompt"]:
    """Gradient of what the path's target reads, times the change in what its source writes, by prompt."""
    if isinstance(path.source, str):
        change = corrupted.residuals[0] - clean.residuals[0]
    else:
        layer, head = path.source
        W_O = weights[f"blocks.{layer}.attn.W_O"][head]
        change = (corrupted.z[layer][:, :, head] - clean.z[layer][:, :, head]) @ W_O
    if isinstance(path.target, str):
        return (gradients[cfg.n_layers, OUTPUT] * change).sum((1, 2))
    return (gradients[path.target[0], str(path.via)][:, :, path.target[1]] * change).sum((1, 2))
