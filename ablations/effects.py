"""What an intervention costs: per-token losses with and without it, and their means with clustered standard errors.

Signs: an effect is loss(intervened) - loss(clean) in nats; positive means that the part helps.
"""

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor
from transformer_lens import HookedTransformer

from ablations.attention import check_context
from ablations.heads import Interventions


class Estimate(NamedTuple):
    """A mean and its standard error."""

    value: float
    se: float


def token_losses(
    model: HookedTransformer, tokens: Int64[Tensor, "batch pos"], interventions: Interventions | None = None
) -> Float[Tensor, "batch predicted"]:
    """Cross-entropy of every next token (entry [b, i] is the loss on tokens[b, i + 1]) under the interventions.

    The model's flags and hooks are as before afterwards, also after an exception. Raises ValueError for a hook that the
    model does not have, and RuntimeError for one that did not fire.
    """
    check_context(model.cfg, tokens)
    interventions = interventions or []
    fired: set[int] = set()

    def watched(number: int, function):  # type: ignore[no-untyped-def]
        def hook(activation, hook):  # type: ignore[no-untyped-def]
            fired.add(number)
            return function(activation, hook=hook)

        return hook

    split_before = model.cfg.use_split_qkv_input
    needs_split = any(name.endswith(("hook_q_input", "hook_k_input", "hook_v_input")) for name, _ in interventions)
    try:
        if needs_split:
            model.set_use_split_qkv_input(True)
        unknown = [name for name, _ in interventions if name not in model.hook_dict]
        if unknown:
            raise ValueError(f"the model has no hook {unknown[0]}: see model.hook_dict for those it has")
        hooks = [(name, watched(number, function)) for number, (name, function) in enumerate(interventions)]
        with torch.no_grad():
            logits = model.run_with_hooks(tokens, return_type="logits", fwd_hooks=hooks)
    finally:
        if needs_split:
            model.set_use_split_qkv_input(split_before)
    silent = [name for number, (name, _) in enumerate(interventions) if number not in fired]
    if silent:
        raise RuntimeError(f"hook {silent[0]} did not fire: the intervention changed nothing")
    targets = tokens[:, 1:]
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), targets.flatten(), reduction="none").view(targets.shape)


def clustered(values: np.ndarray, clusters: np.ndarray) -> Estimate:
    """The mean of values [unit] and its standard error when units of one cluster (a document) are not independent.

    The error is the cluster-robust one of a mean, sqrt(C / (C - 1) sum_c (sum_{i in c} (v_i - mean))^2) / n.
    Raises ValueError with fewer than two clusters.
    """
    values, clusters = np.asarray(values, dtype=np.float64), np.asarray(clusters)
    _, index = np.unique(clusters, return_inverse=True)
    count = int(index.max()) + 1 if len(index) else 0
    if count < 2:
        raise ValueError(f"{count} documents: a standard error needs at least two")
    residual_sums = np.bincount(index, weights=values - values.mean(), minlength=count)
    variance = count / (count - 1) * (residual_sums**2).sum() / len(values) ** 2
    return Estimate(float(values.mean()), float(np.sqrt(variance)))
