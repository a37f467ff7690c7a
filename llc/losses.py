"""Losses that a chain samples with, in nats: a name, what all chains share of a minibatch, and the mean.

A loss is a function of a model's predictions [batch, predicted, d_vocab]: entry [b, i] is the logits for
tokens[b, i + 1]. What does not depend on the varied weights (a reference model's predictions) is prepared once a
minibatch.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor
from transformer_lens import HookedTransformer

from ablations import forward

Tokens = Int64[Tensor, "row pos"]
Predictions = Float[Tensor, "batch predicted vocab"]


class Loss(NamedTuple):
    """`name` goes into traces and keys: two losses of one name must be the same function."""

    name: str
    prepare: Callable[[Tokens, np.ndarray], Any]  # (minibatch, its row numbers in the data set) -> what `mean` needs
    mean: Callable[[Predictions, Any], Tensor]


class Targets(NamedTuple):
    """What predictions are held against."""

    tokens: Int64[Tensor, "batch predicted"]
    weights: Float[Tensor, "batch predicted"] | None  # None: every token counts the same


class SoftTargets(NamedTuple):
    """A reference model's predictions."""

    probabilities: Predictions
    entropy: Float[Tensor, ""]  # their mean entropy, subtracted so that the loss is the KL divergence


def next_token() -> Loss:
    """Mean cross-entropy of the next token: the loss of a weight- or data-refined LLC."""
    return Loss("next-token", lambda batch, rows: Targets(batch[:, 1:], None), cross_entropy)


def weighted(weights: Float[Tensor, "row predicted"], name: str) -> Loss:
    """The same with a weight for each predicted token of the data set: sum(weight * loss) / number of tokens.

    weights[row, i] belongs to tokens[row, i + 1]. Not normalised, so that weights of 1 give the plain loss and a
    susceptibility's reweighting keeps its scale. The name must tell these weights from others.
    """
    if not torch.isfinite(weights).all():
        raise ValueError("per-token weights are not all finite: use 0 for tokens that should not count")

    def prepare(batch: Tokens, rows: np.ndarray) -> Targets:
        return Targets(batch[:, 1:], weights[rows])

    return Loss(f"weighted {name}", prepare, cross_entropy)


def kl_to(reference: HookedTransformer, name: str = "reference") -> Loss:
    """KL(reference || model), mean over predicted tokens: the loss of an LLC refined by a reference model.

    Its gradient is that of the cross-entropy with the reference's predictions as soft labels. The center is no minimum
    of it, so negative estimates are legitimate; they are reported as they are. The papers leave the direction open
    (paper configurations only say that a KL divergence was used): this one keeps the reference as the truth.
    """
    weights = {key: parameter.detach() for key, parameter in reference.named_parameters()}
    predict = predictor(reference)

    def prepare(batch: Tokens, rows: np.ndarray) -> SoftTargets:
        with torch.no_grad():
            logs = predict(weights, batch).log_softmax(-1)
            probabilities = logs.exp()
            return SoftTargets(probabilities, -(probabilities * logs).sum(-1).mean())

    return Loss(f"KL({name} || model)", prepare, kl_divergence)


def function(name: str, value: Callable[[Predictions, Tokens], Tensor]) -> Loss:
    """Any other: value(predictions, minibatch) -> a scalar to be low, e.g. minus a logit difference."""
    return Loss(name, lambda batch, rows: batch, value)


def cross_entropy(predictions: Predictions, targets: Targets) -> Tensor:
    """Mean over tokens of -log p(token), times the token's weight."""
    flat, tokens = predictions.flatten(0, 1), targets.tokens.flatten()
    if targets.weights is None:
        return F.cross_entropy(flat, tokens, reduction="none").mean()
    return (F.cross_entropy(flat, tokens, reduction="none") * targets.weights.flatten().to(flat)).mean()


def kl_divergence(predictions: Predictions, targets: SoftTargets) -> Tensor:
    """Mean over tokens of sum_v p_v (log p_v - log q_v), p the targets and q the predictions."""
    return F.cross_entropy(predictions.flatten(0, 1), targets.probabilities.flatten(0, 1)) - targets.entropy


def predictor(model: HookedTransformer) -> Callable[[Mapping[str, Tensor], Tokens], Predictions]:
    """Predictions as a function of the weights, for any HookedTransformer.

    Attention-only models run as pure functions of their weights, others through `torch.func.functional_call`.
    """
    cfg = model.cfg
    if forward.unsupported(cfg) or not cfg.attn_only or cfg.positional_embedding_type == "rotary":

        def general(weights: Mapping[str, Tensor], tokens: Tokens) -> Predictions:
            return torch.func.functional_call(model, dict(weights), (tokens,))[:, :-1]

        return general

    def attention_only(weights: Mapping[str, Tensor], tokens: Tokens) -> Predictions:
        residual = forward.run_layers(weights, cfg, forward.embed(weights, cfg, tokens), 0, cfg.n_layers)
        return forward.unembed(weights, cfg, residual[:, :-1])

    return attention_only
