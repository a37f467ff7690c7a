"""What the learning coefficient of a pruned network is, without sampling: from the curvature of its loss.

The loss that is sampled is the divergence of the varied network's predictions from the network's own,

    L(w) = mean over pairs trained on of KL( p_w* || p_w ),

whose minimum is the network itself, whatever it has learned. Its Hessian at w* is the Fisher information F. Where the
neurons that are left out of it are at zero (where they do nothing, to second order), Laplace's method makes of its
eigenvalues a coefficient (`settings.laplace`) that goes to half the rank of F as nbeta grows. Three directions of each
neuron change nothing: its scale (U, V times s and W by s^-2), a number that moves from U to V, and one that is added to
all its logits. If nothing else is free and there are pairs enough, the rank is 3 (modulus - 1) for each neuron.
"""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from experiments.settings.modular_addition.network import Weights, alive

ROWS = 50  # whose derivatives are held at once
RANK = 1e-10  # of the largest eigenvalue: smaller ones are zero


def eigenvalues(weights: Weights, rows: Int64[Tensor, "row 3"]) -> Float[Tensor, " parameter"]:
    """The eigenvalues of the Fisher information of the neurons that are alive, the largest first, in double."""
    living = weights[:, :, alive(weights)].double()
    parameters = living.numel()
    total = torch.zeros(parameters, parameters, dtype=torch.float64)
    for part in rows.split(ROWS):
        derivative = _derivative(living, part)
        total += derivative.mT @ derivative / len(rows)
    return torch.linalg.eigvalsh(total).flip(0).clamp(min=0)


def _derivative(weights: Weights, rows: Int64[Tensor, "row 3"]) -> Float[Tensor, "output parameter"]:
    """The logits' derivative at each pair, times a root of the covariance of the one-hot label that is predicted."""
    first, second, out = weights
    modulus, neurons = out.shape
    hidden = first[rows[:, 0]] + second[rows[:, 1]]
    share = (hidden.square() @ out.T).softmax(1)
    root = torch.diag_embed(share.sqrt()) - share[:, :, None] * share.sqrt()[:, None, :]
    each = torch.arange(len(rows))
    derivative = torch.zeros(len(rows), modulus, 3, modulus, neurons, dtype=torch.float64)
    through = 2 * torch.einsum("rkj,ki,ri->rji", root, out, hidden)
    derivative[each, :, 0, rows[:, 0]] = through
    derivative[each, :, 1, rows[:, 1]] = through
    derivative[:, :, 2] = torch.einsum("rkj,ri->rjki", root, hidden.square())
    return derivative.reshape(len(rows) * modulus, -1)


def rank(values: Float[Tensor, " parameter"]) -> int:
    """How many directions change the predictions."""
    return int((values > RANK * values[0]).sum())
