"""The network's curvature, of which Laplace's method (`settings.laplace`) makes a learning coefficient.

Sampled is half the mean squared distance from the network's own outputs, L(w) = 1/2 mean (f_w - f_w*)^2, whose minimum
is the network itself. Its Hessian there is the mean of J'J over inputs, with J the derivative of the output.
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
