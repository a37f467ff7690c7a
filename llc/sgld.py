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

from llc.kernel import Evaluate, Info, Noise, drift
from llc.settings import Settings

WHOLE_DATA = False


class State(NamedTuple):
    """The state of all chains."""

    position: Float[Tensor, "chain dim"]
    center: Float[Tensor, " dim"]
    scale: Float[Tensor, ""]  # 1: no preconditioner


def init(center: Float[Tensor, " dim"], num_chains: int) -> State:
    """The state of chains that start at the center."""
    return State(center.repeat(num_chains, 1), center, center.new_ones(()))


def update(state: State, evaluate: Evaluate, settings: Settings, noise: Noise) -> tuple[State, Info]:
    """Makes one step of every chain."""
    loss, gradient = evaluate(state.position)
    pull = drift(state.position - state.center, gradient, settings)
    step = settings.lr / 2 * pull
    position = state.position - step + math.sqrt(settings.lr) * noise(pull.shape[1])
    info = Info(loss, pull, (step * pull).sum(1) / 2, torch.full_like(loss, math.nan))
    return state._replace(position=position), info
