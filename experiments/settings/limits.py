"""The coefficient that values at growing nbeta tend to, by the law that its multiplicity m, known from theory, says:

    value - (m - 1) / log(c nbeta)      where m is above 1
    value - c nbeta^-p                  otherwise

The first is the posterior mean of nbeta L where the volume of low loss goes as eps^value (-log eps)^(m - 1), to leading
order; the second the leading correction where it has no logarithm.
"""

from collections.abc import Sequence
from functools import partial

import numpy as np
from jaxtyping import Float
from scipy.optimize import curve_fit

Numbers = Sequence[float] | np.ndarray


def limit(nbetas: Numbers, values: Numbers, multiplicity: int) -> float:
    """The limit of values at these nbetas, which are in order."""
    return float(_parameters(np.asarray(nbetas), np.asarray(values), multiplicity)[0])


def fitted(nbetas: Numbers, values: Numbers, multiplicity: int) -> Float[np.ndarray, " nbeta"]:
    """The law at these nbetas, for a picture."""
    found = _parameters(np.asarray(nbetas), np.asarray(values), multiplicity)
    logs = np.log(nbetas)
    return _with_logarithm(multiplicity, logs, *found) if multiplicity > 1 else _with_power(logs - logs[0], *found)


def _parameters(nbetas: np.ndarray, values: np.ndarray, multiplicity: int) -> np.ndarray:
    """The law's parameters, the limit first, by least squares."""
    logs, last = np.log(nbetas), float(values[-1])
    if multiplicity > 1:
        lowest = 0.5 - logs[0]  # of log c: the logarithm stays positive
        law, room = partial(_with_logarithm, multiplicity), ([0, lowest], [np.inf, 50])
        return curve_fit(law, logs, values, p0=(last, max(1.0, lowest)), bounds=room)[0]
    room = ([0, -1, 0.05], [np.inf, last, 3])
    return curve_fit(_with_power, logs - logs[0], values, p0=(last, last / 10, 0.3), bounds=room)[0]


def _with_logarithm(multiplicity: int, log_nbeta: np.ndarray, value: float, shift: float) -> np.ndarray:
    return value - (multiplicity - 1) / (log_nbeta + shift)


def _with_power(log_ratio: np.ndarray, value: float, size: float, power: float) -> np.ndarray:
    return value - size * np.exp(-power * log_ratio)
