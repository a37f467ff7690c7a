"""A logistic rise over the checkpoints of a training, as curves are made of."""

import math

import numpy as np

STEPS = np.array([0, *range(100, 2000, 100), *range(2000, 10_000, 400)])
CLOCK = np.log1p(STEPS)


def logistic(middle: float, clock: np.ndarray = CLOCK, rate: float = 4.0) -> np.ndarray:
    return 1 / (1 + np.exp(-rate * (clock - math.log1p(middle))))
