"""Training of the toy model by SGD from many starts: its plateaus, and the learning coefficient on each.

Each seed starts with normal weights and biases of zero, and has inputs of its own, fresh ones at every step, so that
the loss over all inputs is what is trained. A plateau is a stretch of 800 steps or more in which this loss stays within
2% of its median.
"""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from experiments.settings import plateaus
from experiments.settings.parts import Place
from experiments.settings.superposition.coefficients import estimate
from experiments.settings.superposition.loss import FEATURES, PARAMETERS, on_inputs, population, with_gradient
from llc.settings import Settings

SEEDS, STEPS, EVERY = 48, 16_000, 80
RATE, BATCH = 0.05, 20
FLAT, SHORTEST = 0.02, 10  # of the loss, relative; in records
BRIEF = Settings("brief", 3e-4, 3e3, 300.0, 1, num_chains=24, num_draws=260, num_burnin=60)
SECONDS = 300.0


def train(place: Place) -> dict[str, Any]:
    """The loss of each seed at every record, and each seed's plateaus: when, the loss, the coefficient."""
    states = _records()
    losses = torch.stack([population(state) for state in states], 1)  # [seed, record]
    found = []
    for seed, curve in enumerate(losses.numpy()):
        for begin, end in plateaus.find(curve, flat=FLAT, shortest=SHORTEST):
            middle = _settled(states[(begin + end) // 2][seed])
            loss, steps = float(np.median(curve[begin:end])), [begin * EVERY, end * EVERY]
            found.append({"seed": seed, "steps": steps, "loss": loss, "coefficient": estimate(middle, BRIEF, seed)})
    return {
        "steps": list(range(0, STEPS + 1, EVERY)),
        "loss": [[round(value, 5) for value in curve] for curve in losses.tolist()],
        "plateaus": found,
    }


def _records() -> list[Float[Tensor, "seed 18"]]:
    """The parameters of all seeds at every record."""
    generator = torch.Generator().manual_seed(0)
    position = torch.randn(SEEDS, PARAMETERS, generator=generator, dtype=torch.float64)
    position[:, -FEATURES:] = 0
    states = [position]
    for step in range(1, STEPS + 1):
        axes = torch.randint(FEATURES, (SEEDS, BATCH), generator=generator)
        sizes = torch.rand(SEEDS, BATCH, generator=generator, dtype=torch.float64)
        position = position.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(on_inputs(position, axes, sizes).sum(), position)
        position = position.detach() - RATE * gradient
        if step % EVERY == 0:
            states.append(position)
    return states


def _settled(position: Float[Tensor, "18"]) -> Float[Tensor, "18"]:
    """Where the gradient of the whole loss leads from here, so that what minibatches shake is no part of it."""
    for _ in range(400):
        position = position - 0.1 * with_gradient(position[None])[1][0]
    return position
