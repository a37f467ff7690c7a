"""Whether a test rejects as often as its level says."""

import math

import numpy as np


def share_below(p: list[float], level: float) -> float:
    """z of the share of p at or below a level, against the level."""
    return (np.mean(np.array(p) <= level) - level) / math.sqrt(level * (1 - level) / len(p))
