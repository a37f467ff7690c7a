"""What every sampler shares: its chains, what it reports of a draw, and the drift of the tempered local posterior.

A sampler is a module with `init` and `update` (the protocol `Kernel`). Chains are the first axis of every tensor. A
sampler never has the model, only `evaluate`, and takes its randomness from `noise`, so the same noise gives the same
chain.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from llc.settings import Settings

Positions = Float[Tensor, "chain dim"]
PerChain = Float[Tensor, " chain"]
Evaluate = Callable[..., tuple[PerChain, Positions]]  # (positions, gradient=True) -> the minibatch's mean loss and its
# gradient, or NaN where only the loss was asked for
Noise = Callable[[int], Tensor]  # size -> independent standard normals [chain, size]


class Info(NamedTuple):
    """What an update measured at the position it started from."""

    loss: PerChain  # of the minibatch, in nats
    drift: Positions  # U = nbeta gradient + localization (w - w*)
    heat: PerChain  # what the finite step and the minibatch noise add to E[D U]: (lr / 4) U G U - U.shared; 0 after
    # Metropolis
    acceptance: PerChain  # of the proposal; NaN for samplers that accept every step
    shared: Positions | None = None  # noise of the step before that this step adds again; None: all of it is new


@runtime_checkable
class Kernel(Protocol):
    """A sampler: a module with these names. Its state has `position` [chain, dim], `center` [dim] and `scale` (the
    preconditioner G).
    """

    WHOLE_DATA: bool  # whether every draw needs the loss of the whole data set; otherwise minibatches will do

    def init(self, center: Float[Tensor, " dim"], num_chains: int) -> Any:
        """The state of chains that start at the center."""

    def update(self, state: Any, evaluate: Evaluate, settings: Settings, noise: Noise) -> tuple[Any, Info]:
        """Makes one step of every chain; gives the new state, and what was measured where the step began."""


def drift(displacement: Positions, gradient: Positions, settings: Settings) -> Positions:
    """U = nbeta grad L + localization (w - w*): minus the gradient of the log posterior."""
    return settings.nbeta * gradient + settings.localization * displacement


def log_posterior(displacement: Positions, loss: PerChain, settings: Settings) -> PerChain:
    """The log density of the posterior up to a constant: -nbeta L(w) - (localization / 2) |w - w*|^2."""
    return -settings.nbeta * loss - settings.localization / 2 * displacement.square().sum(1)


def log_proposal(start: Positions, end: Positions, drift: Positions, lr: float, scale: Tensor) -> PerChain:
    """The log density of the Langevin step from start to end, N(start - (lr / 2) G U, lr G), up to a constant."""
    return -((end - start + lr / 2 * scale * drift).square() / scale).sum(1) / (2 * lr)


def acceptance(
    before: Any, info: Info, after: Any, chain: int, evaluate: Evaluate, settings: Settings
) -> Float[Tensor, " one"]:
    """The probability that Metropolis would accept the step this chain just made, on the step's own minibatch."""
    own = slice(chain, chain + 1)
    start, end = before.position[own] - before.center, after.position[own] - after.center
    scale = after.scale[own] if after.scale.ndim else after.scale
    loss, gradient = evaluate(after.position[own])
    back = drift(end, gradient, settings)
    log_ratio = log_posterior(end, loss, settings) - log_posterior(start, info.loss[own], settings)
    log_ratio += log_proposal(end, start, back, settings.lr, scale)
    log_ratio -= log_proposal(start, end, info.drift[own], settings.lr, scale)
    return log_ratio.clamp(max=0).exp()
