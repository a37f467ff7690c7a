"""Trace of the Hessian of the mean next-token loss, in nats per token, over the parameters of each restriction.

Hutchinson, Communications in Statistics 19 (1990): with signs v_i of mean 0 and independent, E[v_i v_j] = [i = j], so

    tr H_SS = E[ sum over i in S of v_i (H v)_i ]

for every subset S of the parameters that v covers, disjoint from others or not: what H brings from outside S has mean
0. One Hessian-vector product thus serves all restrictions. Signs have the least variance of such v, 2 |offdiag H_SS|^2
+ |H_S,rest|^2 (Frobenius).

Each group of rows has probes of its own. Groups are then independent, and the spread of their values holds both the
noise of the probes and that of the text. Groups of one row with one probe give the least error for the time they take.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ablations import forward
from ablations.models import Model, as_model
from ablations.running import as_in_workers, tracked
from llc import restrict, tied
from llc.chains import check_data
from llc.losses import Tokens, by_token, next_token
from llc.restrict import Restriction
from llc.trace import generator


class Curvature(NamedTuple):
    """A trace and its standard error, in nats per token (parameters have no unit)."""

    value: float
    se: float


@as_in_workers()
def hessian_trace(
    model: Model,
    tokens: Tokens,
    restrictions: str | Iterable[str],
    *,
    seed: int,
    group: int = 1,
    probes: int = 1,
) -> dict[str, Curvature]:
    """Estimates the trace for each restriction, by its canonical name, for any model at its own weights.

    The loss is the mean over rows and positions, so this is an estimate for the text that the rows are drawn from.

    Arguments:

        tokens        rows [row, pos] that are independent draws of the text
        restrictions  the parameters whose traces are asked for, as in `llc.sample`
        seed          an integer; it decides the probes
        group         how many rows share their probes (more than 1 pays where a device is idle otherwise)
        probes        how many probes each group has

    Standard errors are over groups. A value depends on the other restrictions within its error, for their parameters
    share the probes. Raises ValueError for data or weights that cannot be run, and for rows that are not two groups or
    more of equal size.
    """
    if group < 1 or probes < 1:
        raise ValueError(f"group={group}, probes={probes}: both must be at least 1")
    if len(tokens) < 2 * group or len(tokens) % group:
        raise ValueError(f"{len(tokens)} rows in groups of {group}: give two whole groups or more, for an error")
    model = as_model(model)
    weights = forward.parameters_of(model)
    check_data(model, weights, tokens, next_token())
    parsed = restrict.parse_all(restrictions, weights, model.cfg)
    draws = generator(seed, "Hessian probes")
    by_group = []
    for rows in tracked(tokens.split(group), "Hessian products"):
        traces = [probed(model, rows, parsed, random_signs(weights, parsed, draws)) for _ in range(probes)]
        by_group.append(np.mean(traces, axis=0))
    return over_samples(np.stack(by_group), parsed)


def probed(
    model: Model, tokens: Tokens, restrictions: Sequence[Restriction], probe: Mapping[str, Tensor]
) -> Float[np.ndarray, " restriction"]:
    """The sum over i in S of v_i (H v)_i for each restriction S, with the probe v: values for some of the parameters.

    Summed over the unit vectors of S it is the trace itself.
    """
    product = hessian_product(model, tokens, probe)
    products = {name: (probe[name] * product[name]).double() for name in probe}
    return np.array([restriction.flat(products).sum().item() for restriction in restrictions])


@as_in_workers()
def hessian_product(model: Model, tokens: Tokens, direction: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """H v by differentiating twice, where H is the Hessian over the parameters that `direction` v names.

    It runs the model's own forward, for the attention of `losses.predictor` has a first derivative only.
    """
    model = as_model(model)
    weights = forward.parameters_of(model)
    varied = {name: weights[name].detach().requires_grad_() for name in direction}
    tokens = tokens.to(next(iter(weights.values())).device).clone()
    with torch.enable_grad():
        predictions = tied.run(model, tied.followed(weights | varied, tied.ties(weights)), tokens)[:, :-1]
        loss = F.cross_entropy(by_token(predictions), tokens[:, 1:].flatten())
        gradient = torch.autograd.grad(loss, list(varied.values()), create_graph=True, materialize_grads=True)
        along = torch.stack([(g * v).sum() for g, v in zip(gradient, direction.values(), strict=True)]).sum()
        products = torch.autograd.grad(along, list(varied.values()), materialize_grads=True)
    return dict(zip(varied, products, strict=True))


def random_signs(
    weights: Mapping[str, Tensor], restrictions: Sequence[Restriction], draws: torch.Generator
) -> dict[str, Tensor]:
    """A probe over all of the restrictions' parameters: 1 or -1 with equal chances, 0 for those of no restriction."""
    probe = {name: torch.zeros_like(weights[name]) for name in parameters(restrictions)}
    for restriction in restrictions:
        signs = 2 * torch.randint(2, (restriction.dimension,), generator=draws) - 1
        probe = restriction.put(probe, signs.to(next(iter(probe.values()))))
    return probe


def parameters(restrictions: Sequence[Restriction]) -> list[str]:
    """The names of the parameters that the restrictions lie in, each once; raises ValueError without restrictions."""
    if not restrictions:
        raise ValueError("no restriction is given: name one or more, such as L0H1")
    return list(dict.fromkeys(name for restriction in restrictions for name, _ in restriction.parts))


def over_samples(
    samples: Float[np.ndarray, "sample restriction"], restrictions: Sequence[Restriction]
) -> dict[str, Curvature]:
    """The mean of independent samples with its standard error, for each restriction."""
    errors = samples.std(axis=0, ddof=1) / np.sqrt(len(samples))
    means = samples.mean(axis=0)
    return {each.name: Curvature(float(means[i]), float(errors[i])) for i, each in enumerate(restrictions)}
