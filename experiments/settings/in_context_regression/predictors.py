"""The two best predictions: for tasks of a normal distribution, and for tasks of a known list.

After k examples with inputs X [k, width] and labels y, the squared error is smallest for the posterior mean of w:

    ridge    (X'X + s I)^-1 X'y                                  w standard normal, s the noise's variance
    dMMSE    sum_m p_m w_m, p_m as exp(-|y - X w_m|^2 / 2 s)     w any of M tasks, all equally likely

(Raventos et al., arXiv:2306.15063). Ridge's expected error at an input x is s + s x' (X'X + s I)^-1 x, of
which the mean over x is s + s trace (X'X + s I)^-1: it needs no labels.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from experiments.settings.in_context_regression.data import NOISE, WIDTH, Contexts, Tasks

Predictions = Float[Tensor, "context example"]


def ridge(found: Contexts) -> Predictions:
    """The prediction of each label from the examples before it, for tasks of a standard normal distribution."""
    inputs, labels = found.inputs.double(), found.labels.double()
    moments = _before(inputs[..., None] * labels[..., None, None])
    weights = torch.linalg.solve(_precision(inputs), moments)[..., 0]
    return (weights * inputs).sum(2).to(found.inputs.dtype)


def dmmse(found: Contexts, known: Tasks) -> Predictions:
    """The prediction of each label from the examples before it, for tasks of this list."""
    inputs, labels = found.inputs.double(), found.labels.double()
    answers = inputs @ known.double().T  # [context, example, task]
    missed = _before((labels[:, :, None] - answers).square())
    share = (-missed / (2 * NOISE)).softmax(2)
    return (share * answers).sum(2).to(found.inputs.dtype)


def ridge_loss(found: Contexts) -> Float[Tensor, "context example"]:
    """Ridge's squared error in expectation over tasks, noise and the input asked for, given the inputs before it."""
    precision = _precision(found.inputs.double())
    return NOISE + NOISE * torch.linalg.inv(precision).diagonal(dim1=2, dim2=3).sum(2)


def _precision(inputs: Float[Tensor, "context example width"]) -> Float[Tensor, "context example width width"]:
    products = inputs[..., None] * inputs[..., None, :]
    return _before(products) + NOISE * torch.eye(WIDTH, dtype=inputs.dtype)


def _before(values: Tensor) -> Tensor:
    """The sum over the examples before each, which are none for the first."""
    return values.cumsum(1) - values
