"""The method of Leimkuhler and Matthews: SGLD whose noise is shared by two steps that follow each other.

    w <- w - (lr / 2) (nbeta grad L_batch(w) + localization (w - w*)) + sqrt(lr) (z + z') / 2

z' is new, z was new in the step before, both N(0, 1). It costs what SGLD costs, and targets the same posterior with an
error of order lr^2 in place of lr: none at all on a quadratic loss. What minibatch noise adds stays as it is. It is the
limit of large friction of the integrator BAOAB. Leimkuhler and Matthews, Applied Mathematics Research eXpress (2013),
arXiv:1203.5428; Leimkuhler, Matthews and Tretyakov, Proceedings of the Royal Society A 470 (2014), arXiv:1308.5814.
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
    shared: Float[Tensor, "chain dim"] | None  # the noise that the next step adds again; None at the start


def init(center: Float[Tensor, " dim"], num_chains: int) -> State:
    """The state of chains that start at the center."""
    return State(center.repeat(num_chains, 1), center, center.new_ones(()), None)


def update(state: State, evaluate: Evaluate, settings: Settings, noise: Noise) -> tuple[State, Info]:
    """Makes one step of every chain."""
    loss, gradient = evaluate(state.position)
    pull = drift(state.position - state.center, gradient, settings)
    half = math.sqrt(settings.lr) / 2
    shared = half * noise(pull.shape[1]) if state.shared is None else state.shared
    new = half * noise(pull.shape[1])
    step = settings.lr / 2 * pull
    heat = (pull * (step / 2 - shared)).sum(1)
    info = Info(loss, pull, heat, torch.full_like(loss, math.nan), shared)
    return state._replace(position=state.position - step + shared + new, shared=new), info
