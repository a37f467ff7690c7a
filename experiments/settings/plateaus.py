"""Plateaus of a loss curve: stretches in which it stays near its median."""

import numpy as np
from jaxtyping import Float

KICKED = 0.1  # share of records that may leave the median, as minibatches make them


def find(curve: Float[np.ndarray, " record"], *, flat: float, shortest: int) -> list[tuple[int, int]]:
    """First record of each plateau and the one behind its last, in order.

    flat: how far from its median a loss may be, relative to it. shortest: records. A plateau grows for as long as it
    stays one.
    """
    found, begin = [], 0
    while begin + shortest <= len(curve):
        end = begin + shortest
        if not _is_flat(curve[begin:end], flat):
            begin += 1
            continue
        while end < len(curve) and _is_flat(curve[begin : end + 1], flat):
            end += 1
        found.append((begin, end))
        begin = end
    return found


def _is_flat(losses: Float[np.ndarray, " record"], flat: float) -> bool:
    middle = np.median(losses)
    return bool(np.quantile(np.abs(losses - middle), 1 - KICKED) < flat * middle)
