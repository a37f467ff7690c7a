"""How the positions of a model work, where nobody says so: the way in which it predicts the text clearly better.

Weights alone do not tell whether position embeddings are added to the residual stream ("standard") or to what queries
and keys read ("shortformer"); a trained model does, by its loss.
"""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ablations import forward
from ablations.models import Model

LEARNED = ("standard", "shortformer")  # kinds of positions with weights
SURE = 5.0  # standard errors over rows, by which the better way has to be ahead


def likelier(build: Callable[[str], Model], rows: Int64[Tensor, "row pos"]) -> tuple[str, str]:
    """Of "standard" and "shortformer" the one with the lower loss on these rows, and a sentence that says so.

    build: makes the model with either. Raises ValueError where the two are too close to tell, as in a model that is not
    trained.
    """
    losses = {kind: _by_row(build(kind), rows) for kind in LEARNED}
    first, second = sorted(losses, key=lambda kind: losses[kind].mean())
    ahead = losses[second] - losses[first]
    error = ahead.std(ddof=1) / len(ahead) ** 0.5
    said = (
        f"{losses[first].mean():.2f} nats per token with {first} positions, {losses[second].mean():.2f} with {second}"
    )
    if not ahead.mean() > SURE * error:
        raise ValueError(
            f"weights do not tell positional_embedding_type, nor does the loss: {said}; say which in a config.json "
            f'beside the checkpoints, {{"positional_embedding_type": "{LEARNED[0]}"}} or "{LEARNED[1]}"'
        )
    return first, f"positions are taken to be {first}: {said}"


@torch.no_grad()
def _by_row(model: Model, rows: Int64[Tensor, "row pos"]) -> Float[np.ndarray, " row"]:
    """The mean loss of each row, in nats per predicted token."""
    weights, cfg = forward.weights_of(model), model.cfg
    losses = []
    for row in rows.split(1):
        residual = forward.run_layers(weights, cfg, forward.embed(weights, cfg, row), 0, cfg.n_layers)
        losses.append(float(forward.token_losses(weights, cfg, residual, row).double().mean()))
    return np.array(losses)
