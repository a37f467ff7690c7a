"""SGLD preconditioned by the gradients' root mean square, adapted during burn-in and frozen after it.

    v <- decay v + (1 - decay) g^2,    G = 1 / (sqrt(v) + damping sqrt(mean v)), scaled to mean 1
    w <- w - (lr / 2) G (nbeta g + localization (w - w*)) + sqrt(lr G) N(0, 1),    g = grad L_batch(w)

The whole drift is preconditioned, localization included, and so is the noise: with G frozen the posterior is the one
that SGLD targets. An adapting G would need a divergence term (Li et al., AAAI 2016, whose Gamma) to target it, which
usual implementations leave out; so draws before `num_burnin` are not from the stated posterior, and are discarded.
G has mean 1, so lr means what it means to SGLD. Li, Chen, Carlson and Carin, arXiv:1512.07666.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from llc.kernel import Evaluate, Info, Noise, drift
from llc.settings import Settings

WHOLE_DATA = False
DECAY = 0.95  # of the average of squared gradients: some 20 draws, fewer than any burn-in worth the name
DAMPING = 0.5  # bounds G: no parameter steps more than about 1 / DAMPING times as far as a typical one


class State(NamedTuple):
    """The state of all chains, each with a preconditioner of its own."""

    position: Float[Tensor, "chain dim"]
    center: Float[Tensor, " dim"]
    scale: Float[Tensor, "chain dim"]  # G
    square: Float[Tensor, "chain dim"]  # v
    steps: int


def init(center: Float[Tensor, " dim"], num_chains: int) -> State:
    """The state of chains that start at the center with G = 1."""
    position = center.repeat(num_chains, 1)
    return State(position, center, torch.ones_like(position), torch.zeros_like(position), 0)


def update(state: State, evaluate: Evaluate, settings: Settings, noise: Noise) -> tuple[State, Info]:
    """Makes one step of every chain; the preconditioner adapts before it during burn-in."""
    loss, gradient = evaluate(state.position)
    if state.steps < settings.num_burnin:
        state = _adapt(state, gradient)
    pull = drift(state.position - state.center, gradient, settings)
    step = settings.lr / 2 * state.scale * pull
    position = state.position - step + (settings.lr * state.scale).sqrt() * noise(pull.shape[1])
    info = Info(loss, pull, (step * pull).sum(1) / 2, torch.full_like(loss, math.nan))
    return state._replace(position=position, steps=state.steps + 1), info


def _adapt(state: State, gradient: Tensor) -> State:
    """Updates the mean squared gradient and the preconditioner G."""
    square = DECAY * state.square + (1 - DECAY) * gradient.square()
    typical = square.mean(1, keepdim=True).sqrt()
    scale = torch.where(typical > 0, 1 / (square.sqrt() + DAMPING * typical), 1)  # no gradient yet: G = 1
    return state._replace(square=square, scale=scale / scale.mean(1, keepdim=True))
