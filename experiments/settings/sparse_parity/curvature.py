"""The network's curvature, and the learning coefficient that Laplace's method makes of it.

Sampled is half the mean squared distance from the network's own outputs, L(w) = 1/2 mean (f_w - f_w*)^2, whose minimum
is the network itself. Its Hessian there is the mean of J'J over inputs, with J the derivative of the output, and

    lambda(nbeta) = 1/2 sum_i nbeta h_i / (nbeta h_i + localization),    h_i its eigenvalues.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from experiments.settings.sparse_parity.network import outputs


def eigenvalues(weights: Float[Tensor, " parameter"], rows: Float[Tensor, "row input"]) -> Tensor:
    """As many eigenvalues as there are inputs, the largest first; the others are zero."""
    single = torch.func.grad(lambda w, row: outputs(w[None], row[None])[0, 0])
    derivative = torch.func.vmap(single, (None, 0))(weights.double(), rows.double())
    return torch.linalg.eigvalsh(derivative @ derivative.mT / len(rows)).flip(0).clamp(min=0)


def laplace(values: Tensor, nbeta: float, localization: float) -> float:
    """The learning coefficient at nbeta and localization, of a quadratic loss with these curvatures."""
    return float((nbeta * values / (nbeta * values + localization)).sum() / 2)
