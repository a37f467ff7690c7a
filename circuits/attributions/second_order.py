"""When not to trust a linear estimate: the second-order term of a path's effect, without its exact effect.

With f(d) the metric where d is added to what the path's target reads, EAP is the first term of

    f(delta) - f(0) = g . delta + delta' H delta / 2 + ...

(g the gradient and H the Hessian at the clean run, delta the change in what the source writes). Where the second term
is more than a fifth of the first, the first is not to be trusted. That rule is glassbox-mech-interp's (a package; the
fifth is its threshold); the term is here by a Hessian-vector product for each path, exact up to rounding, not by
differences. It needs no patched run, but in models of two layers it takes some three times as long as exact effects, or
more with MLPs: it is for models, or other tools, in which exact effects are not at hand.

How far is it to be relied on? On six planted circuits with 10% noise, of 134 estimates by EAP that count 100 are off by
more than a fifth, 115 are flagged and 87 are both: recall 0.87, but precision 0.76 where 0.75 are off anyway; where a
circuit has a spare way it sees half. In a random model with MLPs, of 35 estimates 11 are off, 11 flagged and 8 both:
0.73 and 0.73 (`benchmarks/comparators.py`).
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ablations import forward, mlp, rerun
from ablations.forward import HeadWeights, Readings, Weights
from ablations.models import Config
from ablations.names import mlp_layer
from ablations.paths import VIAS, Path, Via
from ablations.rerun import Clean
from ablations.running import as_in_workers, tracked
from circuits.attributions.changes import Runs, runs
from circuits.discover_exact import at_ends
from circuits.tasks import Metric, Task, logit_difference

SHARE = 0.2  # of the first-order term


class Terms(NamedTuple):
    """The first two terms of paths' effects, in the metric's units."""

    first: Float[np.ndarray, "path prompt"]  # as EAP estimates the effect
    second: Float[np.ndarray, "path prompt"]

    def ratio(self) -> Float[np.ndarray, " path"]:
        """The size of the second term over that of the first, both as means over prompts; 0 where both are 0, infinity
        where the first alone is.
        """
        first, second = np.abs(self.first.mean(1)), np.abs(self.second.mean(1))
        return np.divide(second, first, out=np.where(second > 0, np.inf, 0.0), where=first > 0)

    def flagged(self, share: float = SHARE) -> Bool[np.ndarray, " path"]:
        """Which paths' linear estimates are not to be trusted."""
        return self.ratio() > share


@as_in_workers()
def second_order(
    weights: Weights, cfg: Config, task: Task, paths: Sequence[Path], metric: Metric = logit_difference
) -> Terms:
    """Both terms of every path.

    They are taken in float64: where a softmax is saturated, those of float32 are lost in rounding. Raises ValueError
    for no paths, paths that the model does not have, and prompts and answers that do not correspond.
    """
    precise = {name: value.double() if value.is_floating_point() else value for name, value in weights.items()}
    of = runs(precise, cfg, task, paths, metric)
    read: dict[Path, tuple[Tensor, Tensor]] = {}  # zeros that are added to what a target reads, and the gradient there
    first, second = [], []
    for path in tracked(paths, "second-order terms"):
        reader = path._replace(source="embed")  # the same for all sources
        if reader not in read:
            shift = torch.zeros_like(of.clean.residuals[0], requires_grad=True)
            read[reader] = shift, _derivative(_metric(of, path, shift).sum(), shift, create_graph=True)
        shift, gradient = read[reader]
        change = of.change(path.source)
        curved = _derivative((gradient * change).sum(), shift)
        first.append((gradient.detach() * change).sum((1, 2)))
        second.append((curved * change).sum((1, 2)) / 2)
    return Terms(*(torch.stack(terms).cpu().numpy() for terms in (first, second)))


def _metric(of: Runs, path: Path, shift: Float[Tensor, "prompt pos d_model"]) -> Float[Tensor, " prompt"]:
    """Where this is added to what the path's target reads; of the last layer only what the answer reads is computed."""
    weights, cfg, clean = of.weights, of.cfg, of.clean
    if (of_mlp := mlp_layer(path.target)) is not None:
        return _answered(of, at_ends(clean, _after_mlp(of, of_mlp, shift)))
    if isinstance(path.target, str):
        return _answered(of, at_ends(clean, clean.residuals[-1] + shift))
    first, head = path.target
    residual = clean.residuals[first]
    for layer in range(first, cfg.n_layers):
        ends = clean if layer == cfg.n_layers - 1 else None
        read = forward.readings(weights, cfg, layer, residual)
        if layer == first:
            moved = forward.readings(weights, cfg, layer, residual + shift)
            by_input: dict[Via, Readings] = {via: moved if via == path.via else read for via in VIAS}
            z = (clean.z[layer] if ends is None else at_ends(clean, clean.z[layer])).clone()
            z[:, :, head] = _z(cfg, forward.one_head(weights, layer, head), by_input, ends)[:, :, 0]
        else:
            z = _z(cfg, forward.head_weights(weights, layer), dict.fromkeys(VIAS, read), ends)
        before = residual if ends is None else at_ends(clean, residual)
        residual = forward.after_layer(weights, cfg, layer, before, z)
    return _answered(of, residual)


def _after_mlp(of: Runs, layer: int, shift: Float[Tensor, "prompt pos d_model"]) -> Float[Tensor, "prompt pos d_model"]:
    """The final stream where this is added to what the MLP of a layer reads."""
    weights, cfg, clean = of.weights, of.cfg, of.clean
    stream = rerun.mlp_stream(weights, cfg, clean, layer) + shift
    write = mlp.mlp_write(weights, cfg, layer, forward.normalize(weights, cfg, f"blocks.{layer}.ln2", stream))
    residual = clean.residuals[layer + 1] - clean.mlps[layer] + write
    for later in range(layer + 1, cfg.n_layers):
        read = forward.readings(weights, cfg, later, residual)
        z = _z(cfg, forward.head_weights(weights, later), dict.fromkeys(VIAS, read), None)
        residual = forward.after_layer(weights, cfg, later, residual, z)
    return residual


def _answered(of: Runs, residual: Float[Tensor, "prompt last d_model"]) -> Float[Tensor, " prompt"]:
    return of.metric(of.task, forward.unembed(of.weights, of.cfg, residual).cpu())


def _z(cfg: Config, heads: HeadWeights, read: Mapping[Via, Readings], ends: Clean | None) -> Tensor:
    """What heads give [prompt, pos, head, d_head], by attention that can be differentiated twice, which that of
    `forward.attend` cannot. ends: a run at whose prompts' ends alone it is asked for.
    """
    query = forward.received(read["q"], "q", heads.W_Q, heads.b_Q)
    key = forward.received(read["k"], "k", heads.W_K, heads.b_K)
    value = forward.received(read["v"], "v", heads.W_V, heads.b_V)
    if ends is None:
        pattern = forward.patterns(query, key, cfg.attn_scale)
    else:
        scores = at_ends(ends, query).transpose(1, 2) @ key.permute(0, 2, 3, 1) / cfg.attn_scale
        if ends.ends is not None:  # what pads a prompt stands after its end
            after = torch.arange(scores.shape[-1], device=scores.device) > ends.ends[:, None]
            scores = scores.masked_fill(after[:, None, None], float("-inf"))
        pattern = scores.softmax(-1)
    return (pattern @ value.transpose(1, 2)).transpose(1, 2)


def _derivative(of: Tensor, shift: Tensor, create_graph: bool = False) -> Tensor:
    """Zero where it does not depend on the shift, as of a linear function's slope."""
    if not of.requires_grad:
        return torch.zeros_like(shift)
    (found,) = torch.autograd.grad(of, shift, retain_graph=True, create_graph=create_graph, allow_unused=True)
    return torch.zeros_like(shift) if found is None else found
