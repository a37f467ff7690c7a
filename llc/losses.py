"""Losses that a chain samples with, in nats.

A loss is a mean over a model's predictions [batch, predicted, d_vocab], of which entry [b, i] is the logits for
tokens[b, i + 1]. What does not depend on the varied weights (a reference model's predictions) is prepared once for a
minibatch. Whether a loss fits the data set and the model is checked once, before anything is sampled.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Int64
from torch import Tensor

from ablations import forward
from ablations.forward import check_targets, check_tokens
from ablations.models import Config, Model, as_model
from llc import tied

Tokens = Int64[Tensor, "row pos"]
Predictions = Float[Tensor, "batch predicted vocab"]
Check = Callable[[Tokens, Config], None]  # (whole data set, the model's configuration)
Predictor = Callable[[Mapping[str, Tensor], Tokens], Predictions]  # (weights, tokens) -> predictions


def anything_fits(tokens: Tokens, cfg: Config) -> None:
    """The check of a loss that fits every data set."""


class Loss(NamedTuple):
    """A loss in two steps: what all chains share of a minibatch, and the mean over its predictions.

    The name goes into traces and keys, so two losses of one name must be the same function.
    """

    name: str
    prepare: Callable[[Tokens, np.ndarray], Any]  # (minibatch, its row numbers in the data set) -> what `mean` needs
    mean: Callable[[Predictions, Any], Tensor]  # (predictions, what was prepared) -> the loss, a scalar
    check: Check = anything_fits  # raises ValueError where the loss does not fit the data set or the model


class Targets(NamedTuple):
    """The text's own tokens, which predictions are compared with."""

    tokens: Int64[Tensor, "batch predicted"]
    weights: Float[Tensor, "batch predicted"] | None  # None: every token counts the same


class SoftTargets(NamedTuple):
    """The predictions of a reference model, which predictions are compared with."""

    probabilities: Predictions
    entropy: Float[Tensor, ""]  # their mean entropy, subtracted so that the loss is the KL divergence


def next_token() -> Loss:
    """The mean cross-entropy of the next token in nats: the loss of a weight- or data-refined LLC."""
    return Loss("next-token", lambda batch, rows: Targets(batch[:, 1:], None), cross_entropy, _targets_fit)


def weighted(weights: Float[Tensor, "row predicted"], name: str) -> Loss:
    """The next-token loss with weights for all predicted tokens of the data set: sum(weight * loss) / number of tokens.

    weights[row, i] belongs to tokens[row, i + 1], for every row of the data set that is sampled: one column less than
    there are tokens in a row, for nothing predicts a row's first. No other shape is taken or broadcast. Weights are
    not normalised, so that weights of 1 give the plain loss and a susceptibility's reweighting keeps its scale. The
    name must tell these weights from others. Raises ValueError for weights that are not finite or not of two
    dimensions, and, once it meets a data set, for weights that are not one for each of its predicted tokens.
    """
    if weights.ndim != 2:
        raise ValueError(f"per-token weights have the shape {list(weights.shape)}: give [row, predicted], one a token")
    if not torch.isfinite(weights).all():
        raise ValueError("per-token weights are not all finite: use 0 for tokens that should not count")

    def prepare(batch: Tokens, rows: np.ndarray) -> Targets:
        return Targets(batch[:, 1:], weights[rows])

    def check(tokens: Tokens, cfg: Config) -> None:
        predicted = [len(tokens), tokens.shape[1] - 1]
        if list(weights.shape) != predicted:
            raise ValueError(
                f"per-token weights {list(weights.shape)} do not fit the predicted tokens {predicted} of the data "
                f"{list(tokens.shape)}: weights[row, i] is that of tokens[row, i + 1], so leave out the first token's"
            )
        _targets_fit(tokens, cfg)

    return Loss(f"weighted {name}", prepare, cross_entropy, check)


def kl_to(reference: Model, name: str = "reference") -> Loss:
    """KL(reference || model) in nats, mean over predicted tokens: the loss of an LLC refined by a reference model.

    Its gradient is that of the cross-entropy with the reference's predictions as soft labels. The center is no minimum
    of it, so negative estimates are legitimate; they are reported as they are. The papers leave the direction open
    (their configurations only say that a KL divergence was used): this one keeps the reference as the truth.

    Arguments:

        reference  any model with the same vocabulary; its weights are read now and stay as they are
        name       what the reference is called in traces and keys; it must tell this reference from others

    Where it meets a data set and a model it raises ValueError for tokens that the reference cannot read, and for a
    model with another number of logits.

    Example:

        >>> import torch
        >>> from ablations import models
        >>> from llc import QUICK, health, kl_to, sample
        >>> sizes = {"d_model": 16, "n_ctx": 12, "d_head": 4, "n_heads": 4, "d_vocab": 20, "attn_only": True}
        >>> one_layer, model = (models.new({**sizes, "n_layers": n, "seed": 0}) for n in (1, 2))
        >>> tokens = torch.randint(20, (32, 12), generator=torch.Generator().manual_seed(0))
        >>> loss = kl_to(one_layer, "one layer")
        >>> trace = sample(model, tokens, ["L1H2"], settings=QUICK, seed=0, loss=loss)["L1H2"]
        >>> trace.attrs["loss"], bool((trace.center_loss > 0).all())
        ('KL(one layer || model)', True)
    """
    reference = as_model(reference)
    weights = forward.parameters_of(reference)
    predict = predictor(reference)

    def prepare(batch: Tokens, rows: np.ndarray) -> SoftTargets:
        with torch.no_grad():
            logs = predict(weights, batch).log_softmax(-1)
            probabilities = logs.exp()
            return SoftTargets(probabilities, -(probabilities * logs).sum(-1).mean())

    def check(tokens: Tokens, cfg: Config) -> None:
        check_tokens(reference.cfg, tokens)
        if cfg.d_vocab_out != reference.cfg.d_vocab_out:
            raise ValueError(
                f"the reference {name!r} has {reference.cfg.d_vocab_out} logits, the model {cfg.d_vocab_out}: "
                "compare models of one vocabulary"
            )

    return Loss(f"KL({name} || model)", prepare, kl_divergence, check)


def function(name: str, value: Callable[[Predictions, Tokens], Tensor]) -> Loss:
    """Any other function as a loss: value(predictions, minibatch) is a scalar, low where the model does well, such as
    minus a logit difference. The name must tell it from other losses. Raises ValueError, when it is first evaluated,
    for a value that is no scalar.
    """

    def mean(predictions: Predictions, batch: Tokens) -> Tensor:
        result = value(predictions, batch)
        if result.ndim:
            raise ValueError(f"the loss {name!r} gives a value of shape {list(result.shape)}: give a scalar, its mean")
        return result

    return Loss(name, lambda batch, rows: batch, mean)


def _targets_fit(tokens: Tokens, cfg: Config) -> None:
    """Raises ValueError where a predicted token has no logit."""
    check_targets(cfg, tokens[:, 1:])


def cross_entropy(predictions: Predictions, targets: Targets) -> Tensor:
    """Mean over tokens of -log p(token) in nats, times the token's weight."""
    flat, tokens = by_token(predictions), targets.tokens.flatten()
    if targets.weights is None:
        return F.cross_entropy(flat, tokens, reduction="none").mean()
    return (F.cross_entropy(flat, tokens, reduction="none") * targets.weights.flatten().to(flat)).mean()


def kl_divergence(predictions: Predictions, targets: SoftTargets) -> Tensor:
    """Mean over tokens of sum_v p_v (log p_v - log q_v) in nats, p the targets and q the predictions."""
    return F.cross_entropy(by_token(predictions), by_token(targets.probabilities)) - targets.entropy


def by_token(predictions: Predictions) -> Float[Tensor, "token vocab"]:
    """Predictions of all rows one after another."""
    return rearrange(predictions, "batch predicted vocab -> (batch predicted) vocab")


def predictor(model: Model) -> Predictor:
    """The model's predictions as a function of its weights and tokens, for any model.

    Attention-only models run as pure functions of their weights, others by their own forward (`tied.run`). Weights are
    by all their names, as `ablations.forward.parameters_of` gives them.
    """
    model = as_model(model)
    cfg = model.cfg
    if forward.unsupported(cfg) or not cfg.attn_only or cfg.positional_embedding_type == "rotary":

        def general(weights: Mapping[str, Tensor], tokens: Tokens) -> Predictions:
            return tied.run(model, weights, tokens)[:, :-1]

        return general

    def attention_only(weights: Mapping[str, Tensor], tokens: Tokens) -> Predictions:
        residual = forward.run_layers(weights, cfg, forward.embed(weights, cfg, tokens), 0, cfg.n_layers)
        return forward.unembed(weights, cfg, residual[:, :-1])

    return attention_only
