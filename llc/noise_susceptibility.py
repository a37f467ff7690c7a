"""Susceptibilities under plain Gaussian noise, from derivatives in place of covariances of draws.

With D normal of variance 1 / localization in each direction, integration by parts along a Gaussian interpolation (as in
gaussian_moments.py) gives, with D' = u D + sqrt(1 - u^2) D'', u uniform on (0, 1) and D'' like D,

    Cov(phi, l_i) = (1 / localization) E[grad phi(D) . grad l_i(D')]

and grad l_i(D') along one direction, grad phi(D), is one difference of losses for all tokens i at once. A covariance of
draws has the noise of all directions in which phi and l_i differ, which for a single token is nearly all of them; this
has none of it: where both are linear a single draw is exact. It is the control (nbeta 0) of `susceptibility`, and the
larger part of the value at the papers' nbeta: `with_chains` adds the rest.
"""

import operator
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import SupportsIndex

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from ablations import forward
from ablations.models import Model, as_model
from ablations.running import as_in_workers, tracked
from llc import chains, covariances, engine, head_loss, losses, restrict, susceptibility
from llc.gaussian_moments import STEP, Gaussian
from llc.minibatch import Minibatch, room
from llc.probes import DIMS, Probes, TokenLosses
from llc.restrict import Restriction
from llc.settings import Settings, from_json
from llc.trace import generator

FEWEST = 8  # draws that an error needs
Gradient = Callable[[Float[Tensor, "one dim"]], Float[Tensor, "one dim"]]  # of phi, the probes' loss


@as_in_workers()
def noise_susceptibilities(
    model: Model,
    restrictions: str | Iterable[str],
    probes: Probes,
    *,
    settings: Settings,
    seed: SupportsIndex,
    draws: int = 32,
) -> dict[str, xr.Dataset]:
    """-Cov(phi, l_i - L) of every probe under the localization alone, for each restriction by its canonical name.

    Arguments:

        model, restrictions, probes   as in `llc.sample`; `probes.every` counts for nothing
        settings                      its localization; all else counts for nothing
        seed                          an integer; it decides the draws, with the restriction
        draws                         independent ones, of a gradient and two passes over the probes each

    Each result has value, se and half_width, half the width of the 95% interval, [probe_row, predicted] in squared
    nats. Raises ValueError for a localization of 0, fewer than 8 draws, and probes that the model cannot read.
    """
    if settings.localization <= 0:
        raise ValueError(f"localization={settings.localization:g}: without one there is no Gaussian to draw from")
    if draws < FEWEST:
        raise ValueError(f"draws={draws}: an error needs {FEWEST} at least")
    model, seed = as_model(model), operator.index(seed)
    probes.check(model.cfg)
    weights = forward.parameters_of(model)
    found = {}
    for each in restrict.parse_all(restrictions, weights, model.cfg):
        stream = generator(seed, f"noise susceptibilities {each.name}")
        gaussian = Gaussian(each.flat(weights), settings.localization**-0.5, stream)
        products = derivatives(gaussian, *_evaluates(model, each, probes), draws=draws, label=each.name)
        found[each.name] = of_products(products, probes.share(), settings.localization)
    return found


def derivatives(
    gaussian: Gaussian, gradient: Gradient, token_losses: TokenLosses, *, draws: int, label: str = "a function"
) -> Float[Tensor, "draw row predicted"]:
    """grad phi(D) . grad l_i(D') of every probe at each draw."""
    found = []
    for _ in tracked(range(draws), f"derivatives of {label}"):
        first, other = gaussian.scale * gaussian.normals(2)
        u = gaussian.uniform()
        along = gradient((gaussian.center + first)[None])[0]
        length = along.norm()
        if length == 0:
            found.append(torch.zeros_like(token_losses(gaussian.center[None])[0]).double())
            continue
        step = STEP * first.norm() / length * along
        there = gaussian.center + u * first + (1 - u * u) ** 0.5 * other
        ahead, behind = token_losses(torch.stack([there + step, there - step])).double()
        found.append((ahead - behind) * (length / (2 * STEP * first.norm())))
    return torch.stack(found)


def of_products(
    products: Float[Tensor, "draw row predicted"], share: Float[Tensor, "row predicted"], localization: float
) -> xr.Dataset:
    """value, se and half_width from independent values of grad phi . grad l_i."""
    products = products.cpu()
    of_phi = (products * share).sum((1, 2), keepdim=True)
    values = xr.DataArray(((of_phi - products) / localization).numpy(), dims=("chain", *DIMS))
    return covariances.mean(values)  # each draw is a chain of its own


def with_chains(noise: xr.Dataset, trace: xr.Dataset, control: xr.Dataset) -> xr.Dataset:
    """Susceptibilities in the posterior: those of noise, and what the loss changes, from chains of the same noise.

    noise: of `noise_susceptibilities`; trace and control: of `llc.sample` with the same seed, probes and settings, but
    for nbeta, which is 0 in the control. Chains of the same noise differ by what the loss does alone, so that most of
    the error of their covariances cancels. Gives value, se and half_width; raises ValueError for another
    control.
    """
    own, plain = (from_json(one.attrs["settings"]) for one in (trace, control))
    same = all(control.attrs[name] == trace.attrs[name] for name in ("restriction", "seed", "kernel"))
    if not same or plain != replace(own, nbeta=0.0):
        raise ValueError("the control must have the trace's restriction, seed and sampler, and nbeta 0")
    (value, without), (start, start_without) = (susceptibility.jackknifed(one) for one in (trace, control))
    change = covariances.with_errors(value - start, without - start_without)
    se = np.hypot(change.se, noise.se)
    half = np.hypot(change.half_width, noise.half_width)
    return xr.Dataset({"value": noise.value + change.value, "se": se, "half_width": half})


def _evaluates(model: Model, restriction: Restriction, probes: Probes) -> tuple[Gradient, TokenLosses]:
    """The gradient of the probes' loss, and the losses of all of them, at positions of the restriction's parameters."""
    share = probes.share()
    loss = losses.weighted((share * share.numel()).float(), "the probes' share")
    rows = np.arange(len(probes.tokens))
    weights = forward.parameters_of(model)
    tokens = probes.tokens.to(next(iter(weights.values())).device)
    if engine.general_because(model, tokens, [restriction], loss)[restriction.name]:
        predict = losses.predictor(model)
        _, evaluate = chains.evaluation(predict, weights, restriction, loss, tokens, rows)
        return lambda at: evaluate(at)[1], partial(chains.token_losses, predict, weights, restriction, probes)
    assert restriction.head
    number, head = restriction.head
    layer = head_loss.prepare_layer(forward.weights_of(model), model.cfg, number)
    text = Minibatch(layer, tokens, rows, loss, room(layer, len(tokens), tokens.shape[1], 2))
    return lambda at: text.evaluate(head, at)[1], partial(text.token_losses, head)
