"""How many kinds there are among things that were counted, whatever the number of things looked at."""

import numpy as np
from jaxtyping import Int
from scipy.special import gammaln


def rarefied(counts: Int[np.ndarray, " kind"], size: int) -> float:
    """Expected number of kinds among `size` things drawn without replacement (Hurlbert 1971).

    counts: things of each kind. Raises ValueError for more things than there are.
    """
    counts = np.asarray(counts)[np.asarray(counts) > 0]
    total = int(counts.sum())
    if not 0 <= size <= total:
        raise ValueError(f"size={size}: {total} things were counted, draw at most as many")
    left = total - counts
    log_none = gammaln(left + 1) - gammaln(np.maximum(left - size, 0) + 1) - gammaln(total + 1)
    log_none = log_none + gammaln(total - size + 1)
    return float(np.where(left >= size, 1 - np.exp(log_none), 1.0).sum())


def with_unseen(counts: Int[np.ndarray, " kind"]) -> float:
    """Kinds seen, and a lower bound on those unseen: Chao's (1984) bias-corrected f1 (f1 - 1) / (2 (f2 + 1)), with f1
    kinds of one thing and f2 of two.
    """
    counts = np.asarray(counts)
    once, twice = int((counts == 1).sum()), int((counts == 2).sum())
    return float((counts > 0).sum() + once * (once - 1) / (2 * (twice + 1)))
