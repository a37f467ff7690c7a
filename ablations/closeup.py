"""One token seen closely: what is predicted there with and without a change, and where a head looks from there."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ablations import forward, rerun
from ablations.changes import Change, check_change, reader
from ablations.forward import Weights
from ablations.models import Config
from ablations.paths import LayerNorm
from ablations.substitutes import Values, check_mlps


class CloseUp(NamedTuple):
    """What one head does at the position that predicts a target token."""

    clean: Float[Tensor, " vocab"]  # log probabilities
    changed: Float[Tensor, "draw vocab"]  # under every draw of what stands in
    attention: Float[Tensor, " pos"]  # of the change's reader in the clean run, over the tokens before the target

    def effects(self, target: int) -> Float[Tensor, " draw"]:
        """Loss with the change minus loss without, in nats."""
        return self.clean[target] - self.changed[:, target]


def close_up(
    weights: Weights,
    cfg: Config,
    tokens: Int64[Tensor, " pos"],
    pos: int,
    change: Change,
    draws: Sequence[Values],
    layer_norm: LayerNorm = "recompute",
) -> CloseUp:
    """tokens: the row that holds the target at `pos`; draws: what stands in, z with a leading axis of one row."""
    check_change(change, cfg)
    for values in draws[:1]:
        check_mlps([change], values, cfg)
    if not 0 < pos < len(tokens):
        raise ValueError(f"position {pos} of a row of {len(tokens)} tokens: a target has a token before it")
    layer, head = reader(change)
    with torch.no_grad():
        clean = rerun.clean_run(weights, cfg, tokens[None])
        streams = [(clean.residuals[-1], clean.residuals[-1])]
        streams += [
            rerun.final_streams(rerun.prepare(weights, cfg, clean, values, layer_norm), change) for values in draws
        ]
        predicted = torch.stack([_log_probabilities(weights, cfg, *stream, pos - 1) for stream in streams])
        patterns = rerun.patterns(weights, cfg, clean, layer)
    return CloseUp(predicted[0], predicted[1:], patterns[0, head, pos - 1, :pos])


def _log_probabilities(
    weights: Weights, cfg: Config, stream: Tensor, scaled_as: Tensor, pos: int
) -> Float[Tensor, " vocab"]:
    return forward.unembed(weights, cfg, stream[0, pos], like=scaled_as[0, pos]).log_softmax(-1)
