"""When not to trust a linear estimate: the second-order term of a path's effect, without its exact effect.

With f(d) the metric where d is added to what the path's target reads, EAP is the first term of

    f(delta) - f(0) = g . delta + delta' H delta / 2 + ...

(g the gradient and H the Hessian at the clean run, delta the change in what the source writes). Where the second term
is more than a fifth of the first, the first is not to be trusted. That rule is glassbox-mech-interp's (a package; the
fifth is its threshold); the term is here by a Hessian-vector product for each path, exact up to rounding, not by
differences. It needs no patched run, but it takes longer than exact effects do in models of two layers: it is for
models, or other tools, in which exact effects are not at hand, and here one can see how far it is to be relied on.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ablations import forward
from ablations.forward import HeadVectors, HeadWeights, Readings, Weights
from ablations.models import Config
from ablations.names import Head
from ablations.paths import VIAS, Path
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
    """Where this is added to what the path's target reads."""
    weights, cfg, clean = of.weights, of.cfg, of.clean
    if isinstance(path.target, str):
        residual = clean.residuals[-1] + shift
    else:
        first, head = path.target
        residual, z = clean.residuals[first], clean.z[first].clone()
        z[:, :, head] = _moved(of, path.target, str(path.via), residual, residual + shift)
        residual = forward.after_layer(weights, cfg, first, residual, z)
        for layer in range(first + 1, cfg.n_layers):
            read = forward.readings(weights, cfg, layer, residual)
            z = _z(cfg, forward.head_weights(weights, layer), dict.fromkeys(VIAS, read))
            residual = forward.after_layer(weights, cfg, layer, residual, z)
    return of.metric(of.task, forward.unembed(weights, cfg, at_ends(clean, residual)).cpu())


def _moved(of: Runs, target: Head, via: str, residual: Tensor, shifted: Tensor) -> Float[Tensor, "prompt pos d_head"]:
    """What a head gives that reads one of its inputs from another residual stream."""
    layer, head = target
    read, other = (forward.readings(of.weights, of.cfg, layer, stream) for stream in (residual, shifted))
    own = forward.one_head(of.weights, layer, head)
    return _z(of.cfg, own, {one: other if one == via else read for one in VIAS})[:, :, 0]


def _z(cfg: Config, heads: HeadWeights, read: Mapping[str, Readings]) -> HeadVectors:
    """By attention that can be differentiated twice, which `forward.attend` cannot."""
    query = forward.received(read["q"], "q", heads.W_Q, heads.b_Q)
    key = forward.received(read["k"], "k", heads.W_K, heads.b_K)
    value = forward.received(read["v"], "v", heads.W_V, heads.b_V)
    return (forward.patterns(query, key, cfg.attn_scale) @ value.transpose(1, 2)).transpose(1, 2)


def _derivative(of: Tensor, shift: Tensor, create_graph: bool = False) -> Tensor:
    """Zero where it does not depend on the shift, as of a linear function's slope."""
    if not of.requires_grad:
        return torch.zeros_like(shift)
    (found,) = torch.autograd.grad(of, shift, retain_graph=True, create_graph=create_graph, allow_unused=True)
    return torch.zeros_like(shift) if found is None else found
