"""Exact values: what a sampler must reach on quadratic losses, and learning coefficients of singular models."""

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from llc.settings import Settings

Sampler = Literal["sgld", "leimkuhler_matthews"]


class Coefficient(NamedTuple):
    """The real log canonical threshold of a singular model, and its multiplicity.

    The volume of parameters with a loss below eps goes as eps^value (-log eps)^(multiplicity - 1).
    """

    value: float
    multiplicity: int


def quadratic(
    curvatures: Float[np.ndarray, " dim"],
    settings: Settings,
    *,
    curvature_variance: Float[np.ndarray, " dim"] | float = 0.0,
    gradient_variance: Float[np.ndarray, " dim"] | float = 0.0,
    sampler: Sampler = "sgld",
) -> float:
    """nbeta E[L(w) - L(w*)] of a discretised sampler, stationary, on L(w) = L(w*) + 1/2 sum_i h_i (w_i - w*_i)^2: that
    of SGLD is

        sum_i nbeta h_i / (2 a_i (1 - lr a_i / 4)),    a_i = nbeta h_i + localization

    Each coordinate is an autoregression with factor 1 - lr a_i / 2 and noise variance lr; as lr goes to 0 its variance
    goes to 1 / a_i. Minibatches may give each coordinate a curvature and a gradient of variances v_i and g_i around
    h_i and 0, independent between draws and coordinates; the coordinate's variance is then

        (lr + (lr nbeta / 2)^2 g_i) / (1 - (1 - lr a_i / 2)^2 - (lr nbeta / 2)^2 v_i)

    With the sampler "leimkuhler_matthews" the first lr is lr (1 - lr a_i / 4): without minibatches the variance is
    1 / a_i, whatever the step.

    Raises ValueError where the step is too large for a stationary law.
    """
    variance = _variance(curvatures, settings, curvature_variance, gradient_variance, sampler)
    return float((settings.nbeta * curvatures * variance / 2).sum())


def quadratic_excess(
    curvatures: Float[np.ndarray, " dim"],
    settings: Settings,
    *,
    curvature_variance: Float[np.ndarray, " dim"] | float = 0.0,
    gradient_variance: Float[np.ndarray, " dim"] | float = 0.0,
    sampler: Sampler = "sgld",
) -> float:
    """The excess (diagnose.py) of the chains of `quadratic`: with variances s_i of the coordinates,

        (lr / 4) sum_i h_i (a_i^2 s_i + nbeta^2 (v_i s_i + g_i)) / sum_i h_i a_i s_i

    and a_i^2 s_i - a_i in place of a_i^2 s_i with the sampler "leimkuhler_matthews".
    """
    stiffness = settings.nbeta * curvatures + settings.localization
    variance = _variance(curvatures, settings, curvature_variance, gradient_variance, sampler)
    shared = stiffness if sampler == "leimkuhler_matthews" else 0.0
    noise = settings.nbeta**2 * (curvature_variance * variance + gradient_variance)
    bend = (curvatures * (stiffness**2 * variance - shared + noise)).sum()
    return float(settings.lr / 4 * bend / (curvatures * stiffness * variance).sum())


def _variance(
    curvatures: Float[np.ndarray, " dim"],
    settings: Settings,
    curvature_variance: Float[np.ndarray, " dim"] | float,
    gradient_variance: Float[np.ndarray, " dim"] | float,
    sampler: Sampler,
) -> Float[np.ndarray, " dim"]:
    """The stationary variance of each coordinate; raises ValueError where there is none."""
    stiffness = settings.nbeta * curvatures + settings.localization
    kick = (settings.lr * settings.nbeta / 2) ** 2
    decay = 1 - (1 - settings.lr * stiffness / 2) ** 2 - kick * curvature_variance
    if (decay <= 0).any():
        worst = stiffness[decay <= 0].max()
        raise ValueError(f"lr={settings.lr} is unstable at stiffness {worst:g}: it must be below {4 / worst:g}")
    langevin = settings.lr * (1 - settings.lr * stiffness / 4 if sampler == "leimkuhler_matthews" else 1)
    return np.asarray((langevin + kick * gradient_variance) / decay)


def quadratic_kappa(curvatures: Float[np.ndarray, " dim"], settings: Settings) -> float:
    """d log lambda / d log nbeta on the loss of `quadratic`, as lr goes to 0: the mean of localization / a_i, each
    coordinate weighted by its share of lambda.
    """
    pulled = settings.nbeta * curvatures
    weight = pulled / (pulled + settings.localization)
    return float((weight * settings.localization / (pulled + settings.localization)).sum() / weight.sum())


def normal_crossings(exponents: Sequence[int]) -> Coefficient:
    """The coefficient of L(w) = prod_i w_i^(2 k_i) at 0: the least 1 / (2 k_i), with the number of i that attain it.

    k_i = 0 leaves w_i out. Raises ValueError where no exponent is positive, or one is negative.
    """
    used = [k for k in exponents if k]
    if not used or min(exponents) < 0:
        raise ValueError(f"exponents {list(exponents)}: at least one must be positive and none negative")
    return Coefficient(1 / (2 * max(used)), used.count(max(used)))


def tanh_network(hidden: int) -> Coefficient:
    """The coefficient of sum_h a_h tanh(b_h x) with this many hidden units, one input and one output, where the true
    function is zero; at a = b = 0.

        (H + i^2 + i) / (4 i + 2),    i the largest whole number with i^2 <= H,    m = 2 where i^2 = H, otherwise 1

    Aoyagi and Watanabe, IEICE Trans. Fundamentals E88-A (2005) 2112-2124. Raises ValueError for no hidden unit.
    """
    if hidden < 1:
        raise ValueError(f"hidden={hidden}: at least one unit is needed")
    i = math.isqrt(hidden)
    return Coefficient((hidden + i * i + i) / (4 * i + 2), 2 if i * i == hidden else 1)


def reduced_rank_regression(inputs: int, outputs: int, hidden: int, rank: int) -> Coefficient:
    """The coefficient of L(A, B) = |B A - (true map of this rank)|^2 at the deepest points of the fibre, where A is
    [hidden, inputs] and B [outputs, hidden].

    Aoyagi and Watanabe, Neural Networks 18 (2005): four cases by which of the three sizes dominates. Raises ValueError
    for a rank that is larger than a size.
    """
    _check_rank((inputs, hidden, outputs), rank)
    m, n, h, r = inputs, outputs, hidden, rank
    if n + r <= m + h and m + r <= n + h and h + r <= m + n:
        doubled = -((h + r) ** 2) - m * m - n * n + 2 * (h + r) * m + 2 * (h + r) * n + 2 * m * n
        odd = (m + n + h + r) % 2
        return Coefficient((doubled + odd) / 8, 2 if odd else 1)
    if m + h < n + r:
        return Coefficient((h * m - h * r + n * r) / 2, 1)
    if n + h < m + r:
        return Coefficient((h * n - h * r + m * r) / 2, 1)
    return Coefficient(m * n / 2, 1)


def deep_linear(widths: Sequence[int], rank: int) -> Coefficient:
    """The coefficient of |W_L ... W_1 - (true map of this rank)|^2 at the deepest points; widths: H_0 (inputs) to H_L.

    With D_s = H_s - r and Sigma the subset of l + 1 widths that constrain (the unique prefix of the sorted D with
    max in < min out, sum >= l max in, sum < l min out), M = ceil(sum / l), a = sum - (M - 1) l:

        lambda = (r (H_0 + H_L) - r^2) / 2 + a (l - a) / (4 l) - l (l - 1) / 4 (sum / l)^2 + sum_{i < j} D_i D_j / 2

    and multiplicity a (l - a) + 1. Aoyagi, Theorem 1 (2024). A point elsewhere on the fibre may have a larger local
    coefficient; at generic points of the top-dimensional stratum it is half the rank of the map's Jacobian. Raises
    ValueError for less than two widths, and for a rank that is larger than one of them.
    """
    _check_rank(widths, rank)
    deficits = sorted(width - rank for width in widths)
    for count in range(2, len(deficits) + 1):
        inside, outside, rest = deficits[:count], [*deficits[count:], math.inf], count - 1
        total = sum(inside)
        if inside[-1] < outside[0] and total >= rest * inside[-1] and total < rest * outside[0]:
            break
    else:
        raise AssertionError(f"no constraining subset for widths {list(widths)} and rank {rank}")
    a = total - (math.ceil(total / rest) - 1) * rest
    map_part = Fraction(rank * (widths[0] + widths[-1]) - rank**2, 2)
    pairs = Fraction(total**2 - sum(deficit**2 for deficit in inside), 4)
    value = map_part + Fraction(a * (rest - a) - (rest - 1) * total**2, 4 * rest) + pairs
    return Coefficient(float(value), a * (rest - a) + 1)


def _check_rank(widths: Sequence[int], rank: int) -> None:
    if len(widths) < 2 or not 0 <= rank <= min(widths):
        raise ValueError(f"rank {rank} for widths {list(widths)}: it must be between 0 and the smallest width")
