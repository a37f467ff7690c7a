"""Stochastic gradient Langevin dynamics.

    w <- w - (lr / 2) (nbeta grad L_batch(w) + localization (w - w*)) + sqrt(lr) N(0, 1)

targets the tempered local posterior p(w) ~ exp(-nbeta L(w) - (localization / 2) |w - w*|^2) as lr goes to 0. The step
convention is devinterp's: half the step on the drift, the whole one on the noise's variance.
Welling and Teh, ICML 2011; Lau et al., arXiv:2308.12108.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from llc.settings import Settings


class State(NamedTuple):
    """One chain."""

    position: Float[Tensor, " dim"]
    center: Float[Tensor, " dim"]


class Info(NamedTuple):
    """What an update saw."""

    virial: float  # D.U - (lr / 4) |U|^2 with D = w - w*, U the drift; its stationary mean is the dimension
    distance: float  # |w - w*|


def init(center: Float[Tensor, " dim"]) -> State:
    """A chain that starts at the center."""
    return State(center.clone(), center)


def update(
    state: State, gradient: Float[Tensor, " dim"], settings: Settings, generator: torch.Generator
) -> tuple[State, Info]:
    """One step from the gradient of the mean minibatch loss at the current position."""
    displacement = state.position - state.center
    drift = settings.nbeta * gradient + settings.localization * displacement
    virial = displacement @ drift - settings.lr / 4 * (drift @ drift)
    noise = torch.randn(drift.shape, generator=generator, dtype=drift.dtype).to(drift.device)
    position = state.position - settings.lr / 2 * drift + math.sqrt(settings.lr) * noise
    return State(position, state.center), Info(virial.item(), displacement.norm().item())
