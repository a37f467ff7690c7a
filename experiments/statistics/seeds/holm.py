"""p-values adjusted for being many (Holm 1979)."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float


def adjusted(p: Sequence[float]) -> Float[np.ndarray, " test"]:
    """Each p times the number of tests whose p is not smaller, at least as large as those before it, at most 1.

    Among all with an adjusted p below a level, one is wrong with at most this probability, however they depend on each
    other. Raises ValueError for a p outside [0, 1].
    """
    values = np.asarray(p, dtype=float)
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError(f"p={list(p)}: each lies between 0 and 1")
    order = np.argsort(values, kind="stable")
    stepped = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    result = np.empty_like(values)
    result[order] = np.minimum(stepped, 1.0)
    return result
