"""Losses as functions of the weights: `loss(weights, minibatch) -> mean loss in nats`."""

from collections.abc import Mapping

import torch
from torch import Tensor
from transformer_lens import HookedTransformer

from ablations import attention
from llc.chains import Loss, Tokens


def next_token(model: HookedTransformer) -> Loss:
    """Mean cross-entropy of the next token, for any HookedTransformer.

    Attention-only models run as pure functions of their weights, others through `torch.func.functional_call`.
    """
    cfg = model.cfg
    if attention.unsupported(cfg):

        def general(weights: Mapping[str, Tensor], tokens: Tokens) -> Tensor:
            return torch.func.functional_call(model, dict(weights), (tokens,), {"return_type": "loss"})

        return general

    def attention_only(weights: Mapping[str, Tensor], tokens: Tokens) -> Tensor:
        residual = attention.run_layers(weights, cfg, attention.embed(weights, cfg, tokens), 0, cfg.n_layers)
        return attention.token_losses(weights, cfg, residual, tokens).mean()

    return attention_only
