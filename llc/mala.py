"""The Metropolis-adjusted Langevin algorithm: the SGLD step as a proposal, accepted or refused.

    w' = w - (lr / 2) U(w) + sqrt(lr) N(0, 1),    accepted with probability min(1, p(w') q(w | w') / (p(w) q(w' | w)))

Its stationary law is the posterior exactly, at any lr: the reference for small problems (below about 100 parameters).
The loss must be the same at every draw, so each takes the whole data set, whatever the batch_size. Draw t is w_t, so a
refused proposal repeats the draw. Roberts and Tweedie, Bernoulli 1996. An acceptance near 0.57 is the most efficient in
high dimension (Roberts and Rosenthal, 1998).
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from llc.kernel import Evaluate, Info, Noise, drift, log_posterior, log_proposal
from llc.settings import Settings

WHOLE_DATA = True


class State(NamedTuple):
    """The state of all chains, with the loss and its gradient where they are (None before the first step)."""

    position: Float[Tensor, "chain dim"]
    center: Float[Tensor, " dim"]
    scale: Float[Tensor, ""]
    seen: tuple[Float[Tensor, " chain"], Float[Tensor, "chain dim"]] | None


def init(center: Float[Tensor, " dim"], num_chains: int) -> State:
    """The state of chains that start at the center."""
    return State(center.repeat(num_chains, 1), center, center.new_ones(()), None)


def update(state: State, evaluate: Evaluate, settings: Settings, noise: Noise) -> tuple[State, Info]:
    """Makes one proposal for every chain, and accepts or refuses it."""
    loss, gradient = state.seen or evaluate(state.position)
    start = state.position - state.center
    pull = drift(start, gradient, settings)
    end = start - settings.lr / 2 * pull + settings.lr**0.5 * noise(pull.shape[1])
    end_loss, end_gradient = evaluate(state.center + end)
    back = drift(end, end_gradient, settings)
    log_ratio = log_posterior(end, end_loss, settings) - log_posterior(start, loss, settings)
    log_ratio += log_proposal(end, start, back, settings.lr, state.scale)
    log_ratio -= log_proposal(start, end, pull, settings.lr, state.scale)
    uniform = torch.special.ndtr(noise(1)[:, 0].double())
    accepted = uniform.log() < log_ratio
    moved = State(
        position=torch.where(accepted[:, None], state.center + end, state.position),
        center=state.center,
        scale=state.scale,
        seen=(torch.where(accepted, end_loss, loss), torch.where(accepted[:, None], end_gradient, gradient)),
    )
    return moved, Info(loss, pull, torch.zeros_like(loss), log_ratio.clamp(max=0).exp())
