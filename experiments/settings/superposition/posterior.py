"""The toy model's posterior over n: the shares of its phases, from one ladder of n by replica exchange."""

import math
from typing import Any

import torch

from experiments.settings import replica_exchange
from experiments.settings.parts import Place
from experiments.settings.superposition.loss import FEATURES, PARAMETERS, with_gradient
from experiments.settings.superposition.phases import corners

LOWEST, HIGHEST, LEVELS = 2.0, 3000.0, 26
REPLICAS, STEPS, BURNIN, EVERY = 8, 16_000, 3_000, 10
SECONDS = 150.0


def sample(place: Place) -> dict[str, Any]:
    """By n: each replica's share of draws with so many features represented, and the mean loss of these."""
    ladder = torch.logspace(math.log10(LOWEST), math.log10(HIGHEST), LEVELS, dtype=torch.float64)
    ladder = torch.cat([torch.zeros(1, dtype=torch.float64), ladder])
    size = (REPLICAS, len(ladder), PARAMETERS)
    start = torch.randn(size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    counts = torch.zeros(len(ladder), REPLICAS, FEATURES + 1)
    losses = torch.zeros_like(counts)
    chains = replica_exchange.draws(with_gradient, start, ladder, localization=1.0, steps=STEPS, burnin=BURNIN, seed=0)
    for number, (position, loss) in enumerate(chains):
        if number % EVERY:
            continue
        represented = corners(position.flatten(0, 1)).view(loss.shape).T[:, :, None]  # [level, replica, 1]
        counts.scatter_add_(2, represented, torch.ones_like(represented, dtype=counts.dtype))
        losses.scatter_add_(2, represented, loss.T[:, :, None].float())
    return {
        "n": ladder.tolist(),
        "shares": (counts / counts.sum(2, keepdim=True)).tolist(),  # [n][replica][features represented]
        "loss": [[_mean(level[:, k].sum(), counts[i, :, k].sum()) for k in range(7)] for i, level in enumerate(losses)],
    }


def _mean(total: torch.Tensor, count: torch.Tensor) -> float | None:
    return float(total / count) if count else None
