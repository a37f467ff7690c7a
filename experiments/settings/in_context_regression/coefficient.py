"""How complex a network is, whatever it has learned: the learning coefficient of its own function.

Sampled is half the mean squared distance from the network's own predictions, L(w) = 1/2 mean (f_w - f_w*)^2, whose
minimum is the network itself; a network in training is no minimum of its training loss. Its Hessian at w* is the mean
of J'J with J the derivative of a prediction. Laplace's method (`settings.laplace`) makes a coefficient of its
eigenvalues.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from experiments.settings import estimates
from experiments.settings.in_context_regression.network import Weights, outputs
from llc import Settings, leimkuhler_matthews, sample_function

# The localization lets weights, which are of order 0.2, vary by 0.01; nbeta makes the largest curvature count 50 times
# as much.
SETTINGS = Settings(
    "REGRESSION", lr=2e-6, nbeta=4e3, localization=1e4, batch_size=1, num_chains=2, num_draws=300, num_burnin=150
)
ROWS = 64  # predictions whose derivatives are held at once


def sampled(weights: Weights, tokens: Float[Tensor, "context token entry"], seed: int) -> dict[str, Any]:
    """The coefficient by sampling, with its interval and its health."""
    own = outputs(weights[None], tokens)[0]

    def distance(positions: Tensor, _: Tensor | None) -> Tensor:
        return (outputs(positions, tokens) - own).square().mean((1, 2)) / 2

    trace = sample_function(
        distance, weights, settings=SETTINGS, seed=seed, kernel=leimkuhler_matthews, name="in-context regression"
    )
    return estimates.record(trace)


def eigenvalues(weights: Weights, tokens: Float[Tensor, "context token entry"]) -> Tensor:
    """As many eigenvalues of the Hessian as there are predictions, the largest first, in double."""
    rows = tokens.double()
    function = torch.func.jacrev(lambda w: outputs(w[None], rows)[0].flatten(), chunk_size=ROWS)
    derivative = function(weights.double())
    return torch.linalg.eigvalsh(derivative @ derivative.mT / len(derivative)).flip(0).clamp(min=0)
