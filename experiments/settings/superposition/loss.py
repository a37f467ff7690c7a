"""The toy model of superposition and its population loss, in closed form.

The model is f(x) = ReLU(W'W x + b) with W [2, 6] and b [6]. An input x is mu e_i: one of the six axes, each as likely,
and mu uniform in [0, 1]. The loss is the mean of |x - f(x)|^2, without unit, as in arXiv:2310.06301.
"""

import torch
from jaxtyping import Float
from torch import Tensor

FEATURES = 6
HIDDEN = 2
PARAMETERS = HIDDEN * FEATURES + FEATURES  # W row by row, then b


def split(positions: Float[Tensor, "chain 18"]) -> tuple[Float[Tensor, "chain 2 6"], Float[Tensor, "chain 6"]]:
    """W and b from parameters."""
    return positions[:, :-FEATURES].unflatten(1, (HIDDEN, FEATURES)), positions[:, -FEATURES:]


def population(positions: Float[Tensor, "chain 18"], batch: Tensor | None = None) -> Float[Tensor, " chain"]:
    """The loss over all inputs, for `llc.sample_function` (batch: None).

    With input mu e_i the output j is ReLU(s mu + b_j), s = W_i . W_j. It is on for mu between 0 and 1 on one side of
    -b_j / s, where it adds (t mu - b_j)^2 with t = [i = j] - s; where it is off, it adds ([i = j] mu)^2. So each of the
    36 pairs adds a cubic in the two ends of the interval in which the output is on.
    """
    weights, biases = split(positions)
    slope = weights.mT @ weights  # [chain, input, output]
    bias = biases[:, None, :].expand_as(slope)
    wanted = torch.eye(FEATURES, dtype=slope.dtype, device=slope.device)
    low, high = _where_on(slope, bias)
    miss = wanted - slope
    first, second, third = high - low, high**2 - low**2, high**3 - low**3
    on = miss**2 * third / 3 - miss * bias * second + bias**2 * first
    off = wanted * (1 - third) / 3
    return (on + off).sum((1, 2)) / FEATURES


def _where_on(slope: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """The ends of the interval of mu, within [0, 1], in which ReLU(slope mu + bias) is on."""
    steep = slope.abs() > 1e-12
    turn = torch.where(steep, (-bias / torch.where(steep, slope, 1.0)).clamp(0, 1), (bias > 0).to(slope.dtype))
    rising = steep & (slope > 0)
    return torch.where(rising, turn, 0.0), torch.where(rising, 1.0, turn)


def on_inputs(
    positions: Float[Tensor, "chain 18"], axes: Float[Tensor, "chain row"], sizes: Float[Tensor, "chain row"]
) -> Float[Tensor, " chain"]:
    """The mean loss of each chain on inputs of its own: mu = sizes along whole-numbered axes."""
    weights, biases = split(positions)
    inputs = torch.nn.functional.one_hot(axes.long(), FEATURES).to(sizes.dtype) * sizes[:, :, None]
    outputs = (inputs @ weights.mT @ weights + biases[:, None]).relu()
    return (inputs - outputs).square().sum(2).mean(1)


@torch.no_grad()
def with_gradient(positions: Float[Tensor, "chain 18"]) -> tuple[Float[Tensor, " chain"], Float[Tensor, "chain 18"]]:
    """The loss over all inputs and its gradient, in closed form: where an output turns on it is zero, so that the ends
    of its interval may be held as they are.
    """
    weights, biases = split(positions)
    slope = weights.mT @ weights
    bias = biases[:, None, :].expand_as(slope)
    wanted = torch.eye(FEATURES, dtype=slope.dtype, device=slope.device)
    low, high = _where_on(slope, bias)
    miss = wanted - slope
    first, second, third = high - low, high**2 - low**2, high**3 - low**3
    by_slope = (bias * second - 2 / 3 * miss * third) / FEATURES
    by_bias = (2 * bias * first - miss * second).sum(1) / FEATURES
    by_weights = weights @ (by_slope + by_slope.mT)
    loss = miss**2 * third / 3 - miss * bias * second + bias**2 * first + wanted * (1 - third) / 3
    return loss.sum((1, 2)) / FEATURES, torch.cat([by_weights.flatten(1), by_bias], 1)
