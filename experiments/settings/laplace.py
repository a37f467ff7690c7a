"""The learning coefficient of a quadratic loss in closed form: what sampling is held against.

With h_i the eigenvalues of the Hessian at the minimum, Laplace's method gives at nbeta and localization

    lambda(nbeta) = 1/2 sum_i nbeta h_i / (nbeta h_i + localization)

which goes to half the rank of the Hessian as nbeta grows.
"""

from jaxtyping import Float
from torch import Tensor


def coefficient(eigenvalues: Float[Tensor, " number"], nbeta: float, localization: float) -> float:
    """The learning coefficient of a loss with these curvatures."""
    weighed = nbeta * eigenvalues
    return float((weighed / (weighed + localization)).sum() / 2)
