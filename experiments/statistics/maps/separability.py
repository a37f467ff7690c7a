"""How well a number tells tokens of one kind from the others: d', with an interval clustered by rows of text."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Integer

from experiments.statistics.intervals import reach


class Separability(NamedTuple):
    """d' = (mean inside - mean outside) / sqrt((variance inside + variance outside) / 2), and its 95% interval."""

    value: float
    low: float
    high: float


NOTHING = Separability(float("nan"), float("nan"), float("nan"))


def separability(
    values: Float[np.ndarray, " token"], inside: Bool[np.ndarray, " token"], rows: Integer[np.ndarray, " token"]
) -> Separability:
    """d' of the tokens inside, and its interval: the jackknife over rows, Student's t with one degree less than rows.

    NaN where fewer than two tokens lie on a side, where values do not vary within either side, or without two rows.
    """
    _, home = np.unique(rows, return_inverse=True)
    sums = np.stack([_sums(values, side, home) for side in (inside, ~inside)])  # [side, moment, row]
    value = float(_d_prime(sums.sum(-1)))
    count = sums.shape[-1]
    if not np.isfinite(value) or count < 2:
        return NOTHING._replace(value=value)
    without = _d_prime(sums.sum(-1, keepdims=True) - sums)
    if not np.isfinite(without).all():  # one row holds all that there is of a kind
        return NOTHING._replace(value=value)
    se = float(np.sqrt((count - 1) / count * ((without - without.mean()) ** 2).sum()))
    half = reach(count - 1) * se
    return Separability(value, value - half, value + half)


def d_prime(values: Float[np.ndarray, " item"], inside: Bool[np.ndarray, " item"]) -> float:
    """d' of the items inside, without an interval; NaN where fewer than two lie on a side, or values do not vary."""
    return float(
        _d_prime(np.stack([_sums(values, side, np.zeros(len(values), int)) for side in (inside, ~inside)])[..., 0])
    )


def _sums(values: np.ndarray, side: np.ndarray, home: np.ndarray) -> np.ndarray:
    """Number, sum and sum of squares of a side's values in every row."""
    each = (side.astype(float), np.where(side, values, 0.0), np.where(side, values**2, 0.0))
    return np.stack([np.bincount(home, weights=one) for one in each])


def _d_prime(sums: np.ndarray) -> np.ndarray:
    """d' from sums [side, moment, ...]."""
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = sums[:, 1] / sums[:, 0]
        variance = (sums[:, 2] - sums[:, 0] * mean**2) / (sums[:, 0] - 1)
        size = np.sqrt(variance.clip(0.0).mean(0))
        return np.where(size > 0, (mean[0] - mean[1]) / size, np.nan)
