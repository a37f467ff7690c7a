"""Minibatch noise out of the gradient: a control variate at the center.

A minibatch's loss and the whole data set's differ most by a linear term around the center w*, which is known once the
whole gradient there is:

    L_B(w) + (grad L(w*) - grad L_B(w*)) . (w - w*)        gradient: grad L_B(w) + grad L(w*) - grad L_B(w*)

has the same mean over minibatches as L_B, and no gradient noise at the center. What is left is the noise of the
curvature, (H_B - H)(w - w*), and the finite step's. (Baker, Fearnhead, Fox and Nemeth, arXiv:1706.05439, section 3.)
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ablations import forward
from ablations.models import Model
from ablations.running import tracked
from llc import tied
from llc.kernel import Evaluate, PerChain, Positions
from llc.losses import Loss, Tokens, predictor
from llc.restrict import Restriction

ROWS = 16  # of the data set, whose gradient is taken together


def whole_gradients(
    model: Model, tokens: Tokens, loss: Loss, restrictions: Iterable[Restriction]
) -> dict[str, Float[Tensor, " dim"]]:
    """The gradient of the whole data set's mean loss at the model's own weights, for each restriction by its name.

    It takes one pass over the data, forward and backward, whatever the restrictions.
    """
    weights, predict = forward.parameters_of(model), predictor(model)
    wanted, ties = list(restrictions), tied.ties(weights)
    varied = dict.fromkeys(name for each in wanted for name, _ in each.parts)
    leaves = {name: weights[name].detach().requires_grad_() for name in varied}
    total = {name: torch.zeros_like(leaf) for name, leaf in leaves.items()}
    device = next(iter(weights.values())).device
    for rows in tracked(np.array_split(np.arange(len(tokens)), -(-len(tokens) // ROWS)), "the whole gradient"):
        batch = tokens[rows].to(device)
        with torch.enable_grad():
            value = loss.mean(predict(tied.followed(weights | leaves, ties), batch), loss.prepare(batch, rows))
        gradients = torch.autograd.grad(value, list(leaves.values()), materialize_grads=True)
        for name, gradient in zip(leaves, gradients, strict=True):
            total[name] += gradient * (len(rows) / len(tokens))
    return {each.name: each.flat(total) for each in wanted}


def kept_whole_gradients(
    of: tuple[str, ...], model: Model, tokens: Tokens, loss: Loss, restrictions: Iterable[Restriction]
) -> dict[str, Float[Tensor, " dim"]]:
    """The same, measured once for all settings of a sweep. of: fingerprints of the model's weights and of the data, the
    loss's name and the device, which tell one set of gradients from another.
    """
    kept, wanted = _kept(of), list(restrictions)
    if missing := [each for each in wanted if each.name not in kept]:
        kept |= whole_gradients(model, tokens, loss, missing)
    return {each.name: kept[each.name] for each in wanted}


@lru_cache(maxsize=1)
def _kept(of: tuple[str, ...]) -> dict[str, Float[Tensor, " dim"]]:
    """The gradients of the last model, data and loss, by restriction."""
    return {}


@dataclass
class Reduced:
    """An Evaluate (kernel.py): a minibatch's losses and gradients with the control variate.

    whole: the gradient of the whole data set's loss at the center. The minibatch's own gradient there is taken once,
    beside the first positions.
    """

    evaluate: Evaluate
    center: Float[Tensor, " dim"]
    whole: Float[Tensor, " dim"]
    missing: Float[Tensor, " dim"] | None = None  # the whole gradient less the minibatch's, once it is known

    def __call__(self, positions: Positions, gradient: bool = True) -> tuple[PerChain, Positions]:
        if self.missing is None:
            losses, gradients = self.evaluate(torch.cat([positions, self.center[None]]))
            self.missing = self.whole - gradients[-1]
            losses, gradients = losses[:-1], gradients[:-1]
        else:
            losses, gradients = self.evaluate(positions, gradient)
        return losses + (positions - self.center) @ self.missing, gradients + self.missing
