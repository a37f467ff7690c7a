"""The learning coefficient by independent draws, not chains, where the loss has little influence on the posterior.

Draws of plain Gaussian noise around the center need no burn-in and do not depend on each other; most need no gradient.
What they say of the loss (gaussian_moments.py) gives the coefficient by an expansion (cumulant_expansion.py).
"""

import operator
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import NamedTuple, SupportsIndex, get_args

import numpy as np
import xarray as xr
from jaxtyping import Int64

from ablations import forward
from ablations.models import Model, as_model
from ablations.running import as_in_workers, tracked
from llc import chains, engine, gaussian_moments, head_loss, restrict
from llc import gauge as gauges
from llc.chains import check_data, described
from llc.cumulant_expansion import Law, coefficient, spread
from llc.gauge import Gauge
from llc.gaussian_moments import Gaussian, OnRow
from llc.losses import Loss, Tokens, next_token, predictor
from llc.minibatch import Minibatch, room
from llc.restrict import Restriction
from llc.settings import Settings
from llc.trace import derived_seed, generator

FEWEST = 8  # independent values that a standard error needs
RISES_PER_TRIPLE = 12  # about the least error for the time, on heads of layer 0


# row numbers [draw, 1] -> the loss at the model's own weights, and what evaluates each restriction, row after row
OnRows = Callable[[np.ndarray], Iterator[OnRow]]


class Data(NamedTuple):
    """What is measured, and on what."""

    model: Model
    tokens: Tokens
    loss: Loss


@as_in_workers()
def independent_draws(
    model: Model,
    tokens: Tokens,
    restrictions: str | Iterable[str],
    *,
    settings: Settings,
    seed: SupportsIndex,
    loss: Loss | None = None,
    gauge: Gauge = "trained",
    law: Law = "posterior",
    draws: int = 400,
) -> dict[str, xr.Dataset]:
    """The learning coefficient of each restriction, by its canonical name, from independent Gaussian draws.

    Arguments:

        model, tokens, restrictions, seed, loss, gauge   as in `llc.sample`; the loss is taken row by row
        settings    nbeta and localization; lr counts for the law "sgld" alone, the sizes for nothing
        law         "posterior", or "sgld" for the stationary law of the chains of `llc.sample`
        draws       pairs +-D, each on a row of its own; a twelfth as many (8 at least) triples of rows give what is
                    subtracted

    Each result is a Dataset with

        value, se, interval [bound]  the learning coefficient, its standard error and its 95% interval
        noise_value, noise_se        m1, the sensitivity to plain noise
        tilt, tilt_se                m2 = nbeta^2 Var f, by which the loss changes the posterior
        third, third_se              m3

    and attributes as a trace has them. Where the tilt is above 0.5, value, se and interval are NaN, and the attribute
    `refused` says so in a line, which is a warning too: use chains there (`llc.sample`). Raises ValueError for a
    localization of 0, under which there is no Gaussian, fewer than 8 draws, an unknown law, and as `llc.sample` does.

    Example:

        >>> import torch
        >>> from ablations import models
        >>> from llc import QUICK, independent_draws
        >>> sizes = {"n_layers": 2, "d_model": 16, "n_ctx": 12, "d_head": 4, "n_heads": 4, "d_vocab": 20}
        >>> model = models.new({**sizes, "attn_only": True, "seed": 0})
        >>> tokens = torch.randint(20, (32, 12), generator=torch.Generator().manual_seed(0))
        >>> found = independent_draws(model, tokens, ["L1H2"], settings=QUICK, seed=0)["L1H2"]
        >>> bool(found.interval[0] < found.value < found.interval[1]), found.attrs["law"]
        (True, 'posterior')
    """
    _check(settings, law, draws)
    if gauges.is_balanced(gauge):
        measure = partial(independent_draws, settings=settings, seed=seed, loss=loss, law=law, draws=draws)
        return gauges.in_each_layer(model, tokens, restrictions, measure)
    model, loss, seed = as_model(model), loss or next_token(), operator.index(seed)
    weights = forward.parameters_of(model)
    parsed = restrict.parse_all(restrictions, weights, model.cfg)
    check_data(model, weights, tokens, loss)
    data, found = Data(model, tokens, loss), {}
    attrs = described(weights, tokens, loss) | {"seed": seed, "draws": draws}

    def rows(purpose: str, count: int) -> Int64[np.ndarray, "draw one"]:
        return np.random.default_rng(derived_seed(seed, f"rows of {purpose}")).integers(len(tokens), size=(count, 1))

    def gaussians(purpose: str, group: list[Restriction]) -> dict[str, Gaussian]:
        streams = {each.name: generator(seed, f"{purpose} {each.name}") for each in group}
        scale = spread(settings, law)
        return {each.name: Gaussian(each.flat(weights), scale, streams[each.name]) for each in group}

    for group, on_rows in _together(data, parsed):
        rises = gaussian_moments.rises(on_rows(rows("rises", draws)), gaussians("rises", group))
        triples = 3 * max(FEWEST, draws // RISES_PER_TRIPLE)
        cumulants = gaussian_moments.cumulants(on_rows(rows("cumulants", triples)), gaussians("cumulants", group))
        for each in group:
            own = coefficient(rises[each.name], cumulants[each.name], settings, law)
            named = {"restriction": each.name, "dimension": each.dimension}
            found[each.name] = own.assign_attrs(own.attrs | attrs | named)
    for name, own in found.items():
        if "refused" in own.attrs:
            warnings.warn(f"{name}: {own.attrs['refused']}", stacklevel=3)
    return {each.name: found[each.name] for each in parsed}


def _together(data: Data, parsed: list[Restriction]) -> Iterator[tuple[list[Restriction], OnRows]]:
    """Restrictions that share the run of a row, and what evaluates them: the heads of a layer on the fast path, and
    each other one by itself.
    """
    general = engine.general_because(data.model, data.tokens, parsed, data.loss)
    for each in parsed:
        if general[each.name]:
            yield [each], partial(_by_whole_model, data, each)
    for number, heads in engine.by_layer(each for each in parsed if not general[each.name]).items():
        layer = head_loss.prepare_layer(forward.weights_of(data.model), data.model.cfg, number)
        yield list(heads.values()), partial(_by_layer, data, layer, heads)


def _by_whole_model(data: Data, restriction: Restriction, drawn: Int64[np.ndarray, "draw one"]) -> Iterator[OnRow]:
    weights, predict = forward.parameters_of(data.model), predictor(data.model)
    device = next(iter(weights.values())).device
    for row in tracked(drawn, f"draws of {restriction.name}"):
        batch = data.tokens[row].to(device)
        center_loss, evaluate = chains.evaluation(predict, weights, restriction, data.loss, batch, row)
        yield center_loss, {restriction.name: evaluate}


def _by_layer(
    data: Data, layer: head_loss.Layer, heads: Mapping[int, Restriction], drawn: Int64[np.ndarray, "draw one"]
) -> Iterator[OnRow]:
    together = room(layer, 1, data.tokens.shape[1], 2)
    for row in tracked(drawn, f"draws of layer {layer.number}"):
        minibatch = Minibatch(layer, data.tokens[row].to(layer.reader.device), row, data.loss, together)
        yield minibatch.center_loss, {each.name: partial(minibatch.evaluate, head) for head, each in heads.items()}


def _check(settings: Settings, law: str, draws: int) -> None:
    if law not in get_args(Law):
        raise ValueError(f"law={law!r}: choose from {get_args(Law)}")
    if settings.localization <= 0:
        raise ValueError(
            f"localization={settings.localization:g}: without one there is no Gaussian to draw from; give a positive "
            "one, or use chains (llc.sample)"
        )
    if law == "sgld" and settings.lr * settings.localization >= 4:
        raise ValueError(
            f"lr={settings.lr:g} at localization {settings.localization:g}: no chain is stationary there, keep "
            "their product below 4"
        )
    if draws < FEWEST:
        raise ValueError(f"draws={draws}: a standard error needs {FEWEST} at least")
