"""The general path of sampling: chains that start at the model's own weights and share one sequence of minibatches.

At draw t the loss is measured at w_t, on the minibatch whose gradient makes the next step, and the same minibatch's
loss at the center w* stands beside it: their difference is free of the minibatch noise that both share.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from ablations import forward, padding
from ablations.forward import check_tokens
from ablations.models import Config, Model, as_model
from ablations.running import as_in_workers, check_precision, tracked
from llc import sgld
from llc.kernel import Evaluate, Kernel, PerChain, Positions
from llc.losses import Loss, Predictor, SoftTargets, Targets, Tokens, by_token, predictor
from llc.probes import Probes
from llc.restrict import Restriction
from llc.settings import Settings
from llc.trace import Recorder, derived_seed, fingerprint

PROBE_ROWS = 8  # of which the logits are held at once


class Observable(NamedTuple):
    """Another loss, or the same on other data, recorded along a chain that does not sample with it: never an LLC."""

    loss: Loss
    tokens: Tokens


@as_in_workers()
def sample(
    model: Model,
    tokens: Tokens,
    restriction: Restriction,
    *,
    loss: Loss,
    settings: Settings,
    seed: int,
    kernel: Kernel = sgld,
    observables: Mapping[str, Observable] | None = None,
    whole_gradient: Float[Tensor, " dim"] | None = None,
    probes: Probes | None = None,
) -> xr.Dataset:
    """Samples the local posterior of one restriction, all other parameters frozen; returns a trace (trace.py).

    This is the general path of `llc.sample`, for any model; it also records observables. tokens: the whole data set
    [row, pos], whose rows are drawn with replacement. For a data-refined LLC give that data, for one that is refined
    by a reference model the loss `losses.kl_to(reference)`. whole_gradient: of the data set's loss at the center, for
    a control variate (control_variate.py). probes: text whose tokens' losses are followed. The model is never changed,
    and its mode does not matter. The result depends on the arguments alone: minibatches on the seed, noise on seed,
    restriction and chain. Raises ValueError for data or weights that cannot be sampled.
    """
    model = as_model(model)
    weights = forward.parameters_of(model)
    check_data(model, weights, tokens, loss)
    recorded = observables or {}
    for observable in recorded.values():
        check_data(model, {}, observable.tokens, observable.loss)
    center, predict = restriction.flat(weights), predictor(model)
    attrs = described(weights, tokens, loss) | {"restriction": restriction.name, "path": "general"}
    recorder = Recorder(center, kernel, settings, seed, attrs, restriction.key_bias(model.cfg), whole_gradient)
    if probes is not None:
        recorder.watch(partial(token_losses, predict, weights, restriction, probes), probes.share(), probes.every)
    streams = {name: minibatches(len(other.tokens), settings, seed, name) for name, other in recorded.items()}
    drawn = batches(kernel, len(tokens), settings, seed)
    for draw, rows in enumerate(tracked(drawn, f"chains of {restriction.name}")):
        batch = tokens[rows].to(center.device)
        center_loss, evaluate = evaluation(predict, weights, restriction, loss, batch, rows)
        with torch.no_grad():
            moved = [restriction.put(weights, position) for position in recorder.state.position] if recorded else []
            rises = {
                name: _rises(observable, streams[name][draw], predict, weights, moved)
                for name, observable in recorded.items()
            }
        recorder.draw(center_loss, evaluate, rises)
    return recorder.trace()


@torch.no_grad()
def token_losses(
    predict: Predictor, weights: Mapping[str, Tensor], restriction: Restriction, probes: Probes, positions: Positions
) -> Float[Tensor, "chain row predicted"]:
    """The loss of each probe in nats where the restriction's parameters are these, some rows at a time."""
    chains = []
    for position in positions:
        own, found = restriction.put(weights, position), []
        for tokens in probes.tokens.to(positions.device).split(PROBE_ROWS):
            flat = F.cross_entropy(by_token(predict(own, tokens)), tokens[:, 1:].flatten(), reduction="none")
            found.append(flat.view(len(tokens), -1))
        chains.append(torch.cat(found))
    return torch.stack(chains)


def evaluation(
    predict: Predictor,
    weights: Mapping[str, Tensor],
    restriction: Restriction,
    loss: Loss,
    batch: Tokens,
    rows: np.ndarray,
) -> tuple[float, Evaluate]:
    """The mean loss of a minibatch at the model's own weights, and what evaluates the restriction's parameters on it.

    rows: the numbers of the minibatch's rows in the data set.
    """
    prepared = loss.prepare(batch, rows)
    with torch.no_grad():
        center_loss = loss.mean(predict(weights, batch), prepared).item()
    value = partial(_at, predict, weights, restriction, loss, batch, prepared)
    return center_loss, partial(one_by_one, value)


def _at(
    predict: Predictor,
    weights: Mapping[str, Tensor],
    restriction: Restriction,
    loss: Loss,
    batch: Tokens,
    prepared: Any,
    position: Float[Tensor, " dim"],
) -> Tensor:
    """The mean loss of a minibatch where the restriction's parameters are these."""
    return loss.mean(predict(restriction.put(weights, position), batch), prepared)


def _rises(
    observable: Observable,
    rows: np.ndarray,
    predict: Predictor,
    weights: Mapping[str, Tensor],
    moved: Sequence[Mapping[str, Tensor]],
) -> PerChain:
    """How much an observable's loss on these rows is higher with each chain's weights than with the model's own."""
    batch = observable.tokens[rows].to(next(iter(weights.values())).device)
    prepared = observable.loss.prepare(batch, rows)
    start = observable.loss.mean(predict(weights, batch), prepared)
    return torch.stack([observable.loss.mean(predict(own, batch), prepared) - start for own in moved])


@as_in_workers()
def sample_function(
    loss: Callable[[Positions, Tensor | None], PerChain],
    center: Float[Tensor, " dim"],
    *,
    settings: Settings,
    seed: int,
    data: Tensor | None = None,
    kernel: Kernel = sgld,
    each: Callable[[Positions], Float[Tensor, "chain sample"]] | None = None,
    name: str = "function",
) -> xr.Dataset:
    """Samples the local posterior of any differentiable function of a parameter vector; returns a trace (trace.py).

    Arguments:

        loss      loss(positions, batch) gives the loss of each chain [chain] at positions [chain, dim]; batch is rows
                  of data, or None without data (a population loss)
        center    the parameters w* [dim] at which the chains start; the posterior is held near them
        settings  lr, nbeta, localization, batch size, chains and draws
        seed      an integer; it decides noise and minibatches
        data      a tensor whose rows are drawn with replacement
        kernel    the sampler's module: llc.sgld, llc.leimkuhler_matthews, llc.rmsprop or llc.mala
        each      losses of single samples [chain, sample] at positions [chain, dim], which are followed along the
                  chains as tokens' are (`llc.probes`), at every draw after the burn-in
        name      what the function is called in the trace; the noise depends on it

    Raises ValueError for a center that is no vector, and for losses that are not one for each position.

    Example:

        >>> import numpy as np
        >>> import torch
        >>> from llc import Settings, closed_form, learning_coefficient, sample_function
        >>> curvatures = torch.tensor([0.5, 2.0, 8.0])
        >>> def loss(positions, batch):
        ...     return 0.5 * (positions**2 * curvatures).sum(1)
        >>> sizes = {"batch_size": 1, "num_chains": 8, "num_draws": 800, "num_burnin": 200}
        >>> settings = Settings("quadratic", lr=1e-3, nbeta=100.0, localization=1.0, **sizes)
        >>> trace = sample_function(loss, torch.zeros(3), settings=settings, seed=0)
        >>> estimate = learning_coefficient(trace)
        >>> exact = closed_form.quadratic(curvatures.numpy(), settings)
        >>> bool(abs(estimate.value - exact) < 4 * estimate.se)
        True
    """
    if center.ndim != 1:
        raise ValueError(f"a center of shape {list(center.shape)}: give the parameters as one vector, center.flatten()")
    attrs = {"restriction": name, "loss": name, "weights": fingerprint(center)}
    attrs["data"] = "none" if data is None else fingerprint(data)
    recorder = Recorder(center, kernel, settings, seed, attrs)
    if each is not None:
        samples = each(center[None]).shape[1]
        recorder.watch(partial(_each, each), center.new_full((samples, 1), 1 / samples), 1)
    drawn = batches(kernel, 1 if data is None else len(data), settings, seed)
    for rows in tracked(drawn, f"chains of {name}"):
        batch = None if data is None else data[rows]
        with torch.no_grad():
            center_loss = loss(center[None], batch).sum().item()
        recorder.draw(center_loss, partial(with_gradient, partial(_on_batch, loss, batch)))
    return recorder.trace()


@torch.no_grad()
def _each(
    losses: Callable[[Positions], Float[Tensor, "chain sample"]], positions: Positions
) -> Float[Tensor, "chain sample one"]:
    return losses(positions)[:, :, None]


def _on_batch(loss: Callable[[Positions, Tensor | None], Tensor], batch: Tensor | None, each: Positions) -> Tensor:
    return loss(each, batch)


def one_by_one(
    value: Callable[[Float[Tensor, " dim"]], Tensor], positions: Positions, gradient: bool = True
) -> tuple[PerChain, Positions]:
    """Evaluates (kernel.py) the chains in turn, from the loss at one position."""
    pairs = [with_gradient(lambda own: value(own[0])[None], position[None], gradient) for position in positions]
    losses, gradients = zip(*pairs, strict=True)
    return torch.cat(losses), torch.cat(gradients)


def with_gradient(
    loss: Callable[[Positions], PerChain], positions: Positions, gradient: bool = True
) -> tuple[PerChain, Positions]:
    """The loss of each chain and its gradient (NaN if not asked for), by automatic differentiation."""
    positions = positions.detach().requires_grad_(gradient)
    with torch.set_grad_enabled(gradient):
        values = loss(positions)
    if values.shape != positions.shape[:1]:
        raise ValueError(
            f"the loss of positions {list(positions.shape)} has the shape {list(values.shape)}: give one number for "
            "each position, [chain]"
        )
    if not gradient:
        return values, torch.full_like(positions, math.nan)
    return values.detach(), torch.autograd.grad(values.sum(), positions)[0]


def described(weights: Mapping[str, Tensor], tokens: Tokens, loss: Loss) -> dict[str, str]:
    """The attributes of a trace that say what is sampled, apart from the restriction."""
    return {
        "loss": loss.name,
        "weights": fingerprint(*weights.values()),
        "data": fingerprint(tokens),
    }


def batches(kernel: Kernel, num_rows: int, settings: Settings, seed: int) -> np.ndarray:
    """Row numbers [draw, row] of the data that each draw takes: all of them where the sampler needs the whole data."""
    if kernel.WHOLE_DATA:
        return np.tile(np.arange(num_rows), (settings.num_draws, 1))
    return minibatches(num_rows, settings, seed)


def minibatches(num_rows: int, settings: Settings, seed: int, purpose: str = "") -> np.ndarray:
    """Row numbers [draw, batch_size], drawn with replacement; the same for every restriction of one seed."""
    stream = derived_seed(seed, f"minibatches {purpose}".strip())
    return np.random.default_rng(stream).integers(num_rows, size=(settings.num_draws, settings.batch_size))


def check_data(model: Model, weights: Mapping[str, Tensor], tokens: Tokens, loss: Loss) -> None:
    """Raises ValueError for weights and data as `check_inputs` does, for a loss that does not fit the data, and for
    padded rows.
    """
    check_inputs(weights, tokens, model.cfg)
    loss.check(tokens, model.cfg)
    _check_unpadded(model, tokens, loss)


def _check_unpadded(model: Model, tokens: Tokens, loss: Loss) -> None:
    """Raises ValueError for padded rows, on which a mean over tokens counts what is no text (`ablations.padding`).

    A loss with a weight for each token, or one of the user's own, may give padding after the text no weight; padding
    before the text is refused for any.
    """
    padded = padding.padding_of(model)
    if padded is None:
        return
    prepared = None if padded.left else loss.prepare(tokens[:1].to(model.W_E.device), np.arange(1))
    by_tokens = prepared is None or isinstance(prepared, SoftTargets)
    if by_tokens or (isinstance(prepared, Targets) and prepared.weights is None):
        remedy = "" if padded.left else "; or weight their tokens by 0 (losses.weighted)"
        padding.check_unpadded(padded, tokens, "learning coefficients and gradients", remedy)


def check_inputs(weights: Mapping[str, Tensor], tokens: Tokens, cfg: Config) -> None:
    """Raises ValueError for an empty data set, rows that are too short or longer than the context, a token outside the
    vocabulary, or weights that are not finite or in half precision.
    """
    if len(tokens) == 0:
        raise ValueError("the data set has no rows: an LLC needs at least one")
    check_tokens(cfg, tokens)
    if tokens.shape[1] < 2:
        raise ValueError(f"rows of {tokens.shape[1]} tokens: a loss needs two or more, give longer ones")
    for weight in weights.values():
        check_precision(weight.dtype, "chains and gradients")
    bad = next((name for name, weight in weights.items() if not torch.isfinite(weight).all()), None)
    if bad is not None:
        raise ValueError(f"weight {bad} is not finite: the checkpoint is damaged or its training diverged")
