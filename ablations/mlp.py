"""The MLP of a layer as a pure function of the model's weights."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from transformer_lens.utilities.activation_functions import SUPPORTED_ACTIVATIONS

# gelu_new and gelu_fast are this function written out, which takes several times as long
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = SUPPORTED_ACTIVATIONS | dict.fromkeys(
    ("gelu_new", "gelu_fast"), partial(F.gelu, approximate="tanh")
)


def normalises(cfg: Any) -> bool:
    """Whether MLPs normalise their hidden layer."""
    return cfg.act_fn is not None and cfg.act_fn.endswith("_ln")


def unsupported(cfg: Any) -> str:
    """Why a model's MLPs do not run as this function; empty when they do, or there are none."""
    if cfg.attn_only:
        return ""
    checks = {
        "mixtures of experts": bool(cfg.num_experts),
        "quantized MLPs": cfg.load_in_4bit or cfg.quantization_method is not None,
        f"act_fn {cfg.act_fn!r}": cfg.act_fn not in ACTIVATIONS or cfg.act_fn == "xielu",  # which has weights
        "gated MLPs with a norm": cfg.gated_mlp and normalises(cfg),
    }
    return next((reason for reason, holds in checks.items() if holds), "")


def mlp_write(
    weights: Mapping[str, Tensor],
    cfg: Any,
    layer: int,
    read: Float[Tensor, "*any d_model"],
    activation: Callable[[Tensor], Tensor] | None = None,
) -> Float[Tensor, "*any d_model"]:
    """What the MLP adds to the residual stream where it reads this (ln2 applied); activation: in place of its own."""
    W_in, b_in, W_out, b_out = (weights[f"blocks.{layer}.mlp.{name}"] for name in ("W_in", "b_in", "W_out", "b_out"))
    activation = activation or ACTIVATIONS[str(cfg.act_fn)]
    if cfg.gated_mlp:
        hidden = activation(read @ weights[f"blocks.{layer}.mlp.W_gate"]) * (read @ W_in) + b_in
    else:
        hidden = activation(read @ W_in + b_in)
    if normalises(cfg):
        w, b = (weights.get(f"blocks.{layer}.mlp.ln.{name}") for name in "wb")
        hidden = F.layer_norm(hidden, hidden.shape[-1:], w, b, cfg.eps)
    return hidden @ W_out + b_out
