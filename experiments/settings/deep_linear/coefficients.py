"""Learning coefficients of linear networks, against what they compute themselves.

Two samplers: the project's Metropolis-adjusted chains, and the exact Gibbs sampler of gibbs.py, which mixes at any
nbeta. Near a small start every factor has the rank of the map that is learned so far: these are the deepest, singular
points of the map's fibre, where the value at nbeta misses the coefficient by about (m - 1) / log nbeta.
"""

import torch
from torch import Tensor

from experiments.settings.deep_linear import gibbs
from experiments.settings.deep_linear.network import against_itself
from llc import learning_coefficient, mala, sample_function
from llc.settings import Settings

NBETAS = (1e2, 1e3, 1e4, 1e5, 1e6)


def exact(factors: tuple[Tensor, Tensor], nbeta: float, seed: int) -> list[float]:
    """By the Gibbs sampler: value, low and high end of the 95% interval."""
    settings = Settings("gibbs", 1e-3, nbeta, 1.0, 1, num_chains=24, num_draws=500, num_burnin=150)
    return _interval(gibbs.trace(factors, settings, seed))


def sampled(factors: tuple[Tensor, Tensor], nbeta: float, seed: int) -> list[float]:
    """The same by Metropolis-adjusted Langevin chains."""
    settings = Settings("mala", 0.1 / nbeta, nbeta, 1.0, 1, num_chains=16, num_draws=3500, num_burnin=1000)
    center = torch.cat([factor.flatten() for factor in factors])
    return _interval(sample_function(against_itself(factors), center, settings=settings, seed=seed, kernel=mala))


def _interval(trace) -> list[float]:  # type: ignore[no-untyped-def]
    found = learning_coefficient(trace)
    return [float(found.value), *found.interval.values.tolist()]
