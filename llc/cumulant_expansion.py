"""The learning coefficient from cumulants of the loss under plain Gaussian noise (gaussian_moments.py).

With f = L(w* + D) - L(w*), the tempered posterior is the Gaussian N(0, s^2) around the center, tilted by exp(-nbeta f).
The mean of f under it has the expansion

    lambda = m1 - m2 + m3 - ...,   m1 = nbeta E f,  m2 = nbeta^2 Var f,  m3 = nbeta^3 K3 f / 2

For curvatures h and x = nbeta h s^2 these are half the sums of x, x^2 and x^3, of a series whose sum is that of
x / (1 + x). So m2 / (1 + m3 / m2) stands for all that is subtracted: exact where the curvatures that matter are alike,
and too little otherwise by at most m2 times the variance of x, weighted by x^2.

Two laws: "posterior", exactly what the settings state, with s^2 = 1 / localization; and "sgld", the stationary law of
the discretised chain, for comparison with chains. With b = lr localization / 4 its s^2 is larger by 1 / (1 - b), m2
counts 1 - 2 b times and m3 counts (1 - 2 b)^2 + b (1 - b) times: the expansion of `closed_form.quadratic`. Minibatch
heat is in neither.
"""

import math
from typing import Literal, NamedTuple

import numpy as np
import xarray as xr

from llc import intervals
from llc.estimate import plain_error
from llc.gaussian_moments import Cumulants
from llc.settings import Settings

Law = Literal["posterior", "sgld"]
LARGEST = 0.5  # m2 from which on chains are needed


class Mean(NamedTuple):
    """Of independent values: their mean, its standard error, and how many they are."""

    value: float
    se: float
    size: int


def spread(settings: Settings, law: Law) -> float:
    """s, the standard deviation of the Gaussian in each direction."""
    return (settings.localization * (1 - _step(settings, law))) ** -0.5


def coefficient(rises: list[float], products: Cumulants, settings: Settings, law: Law) -> xr.Dataset:
    """The learning coefficient, with what it is computed from; what it holds is said by `llc.independent_draws`.

    rises, products: independent values of E f, and of Var f and K3 f / 2, as `gaussian_moments` draws them at `spread`.
    """
    step = _step(settings, law)
    second = (1 - 2 * step) * settings.nbeta**2 * np.array(products.second)
    third = ((1 - 2 * step) ** 2 + step * (1 - step)) * settings.nbeta**3 * np.array(products.third)
    noise, tilt, bend = _mean(settings.nbeta * np.array(rises)), _mean(second), _mean(third)
    # where both are positive, what is subtracted is between 0 and m2, however noisy m3 / m2 is
    curved = tilt.value > 0 and bend.value > 0
    total = tilt.value + bend.value
    subtracted = tilt.value**2 / total if curved else tilt.value
    slopes = (1 - (bend.value / total) ** 2, -((tilt.value / total) ** 2)) if curved else (1.0, 0.0)
    error = _mean(slopes[0] * second + slopes[1] * third).se
    numbers = {"value": noise.value - subtracted, "se": math.hypot(noise.se, error)}
    half = intervals.half_width(numbers["se"], _degrees((noise.se, noise.size), (error, tilt.size)))
    interval = intervals.ends(numbers["value"], half)
    attrs: dict[str, object] = {"kernel": "independent draws", "law": law, "settings": settings.to_json()}
    if tilt.value > LARGEST:
        numbers, interval = dict.fromkeys(numbers, math.nan), np.full(2, math.nan)
        attrs["refused"] = (
            f"the loss changes the posterior too much for independent draws (nbeta^2 Var f is {tilt.value:.2f}, it may "
            f"be {LARGEST}): use chains, llc.sample"
        )
    numbers |= {"noise_value": noise.value, "noise_se": noise.se, "tilt": tilt.value, "tilt_se": tilt.se}
    numbers |= {"third": bend.value, "third_se": bend.se}
    data: dict = {name: ((), np.array(number)) for name, number in numbers.items()}
    return xr.Dataset(data | {"interval": ("bound", interval)}, {"bound": list(intervals.BOUNDS)}, attrs)


def _step(settings: Settings, law: Law) -> float:
    """b, the share by which the finite step makes the Gaussian wider."""
    return settings.lr * settings.localization / 4 if law == "sgld" else 0.0


def _mean(values: np.ndarray) -> Mean:
    return Mean(float(values.mean()), plain_error(values), len(values))


def _degrees(*means: tuple[float, int]) -> float:
    """Satterthwaite's degrees of freedom of a sum of independent means, from the error and the size of each."""
    below = sum(se**4 / (count - 1) for se, count in means)
    return sum(se**2 for se, _ in means) ** 2 / below if below > 0 else 1.0
