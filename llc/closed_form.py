"""Exact values that the sampler must reach."""

import numpy as np
from jaxtyping import Float

from llc.settings import Settings


def quadratic(curvatures: Float[np.ndarray, " dim"], settings: Settings) -> float:
    """nbeta E[L(w) - L(w*)] of discretised SGLD, stationary, on L(w) = L(w*) + 1/2 sum_i h_i (w_i - w*_i)^2.

        sum_i nbeta h_i / (2 a_i (1 - lr a_i / 4)),    a_i = nbeta h_i + localization

    Each coordinate is an autoregression with factor 1 - lr a_i / 2 and noise variance lr; as lr goes to 0 its variance
    goes to 1 / a_i. Raises ValueError where the step is too large to be stable (lr a_i >= 4).
    """
    stiffness = settings.nbeta * curvatures + settings.localization
    if (settings.lr * stiffness >= 4).any():
        raise ValueError(
            f"lr={settings.lr} is unstable at stiffness {stiffness.max():g}: it must be below {4 / stiffness.max():g}"
        )
    return float((settings.nbeta * curvatures / (2 * stiffness * (1 - settings.lr * stiffness / 4))).sum())
