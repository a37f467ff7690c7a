"""Chains of many restrictions on the same minibatches: a fast path for single heads and a general one for everything
else, with one interface and the same numbers up to rounding.

On the fast path the chains of a head advance together, and the heads of a layer share one run of the model's own
weights on each minibatch, in pieces that fit the cache (minibatch.py, head_loss.py). The general path is chains.py.
"""

import operator
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Literal, SupportsIndex, get_args

import numpy as np
import xarray as xr

from ablations import forward
from ablations.models import Model, as_model
from ablations.running import as_in_workers, tracked
from llc import chains, head_loss, restrict, sgld
from llc import gauge as gauges
from llc.chains import batches, check_data, described
from llc.control_variate import kept_whole_gradients
from llc.gauge import Gauge
from llc.head_loss import Layer
from llc.kernel import Kernel
from llc.losses import Loss, SoftTargets, Targets, Tokens, next_token
from llc.minibatch import Minibatch, Room, room
from llc.probes import Probes
from llc.restrict import Restriction
from llc.settings import Settings
from llc.trace import Recorder

Path = Literal["auto", "fast", "general"]
Precision = Literal["fp32", "bf16"]


@as_in_workers()
def sample(
    model: Model,
    tokens: Tokens,
    restrictions: str | Iterable[str],
    *,
    settings: Settings,
    seed: SupportsIndex,
    loss: Loss | None = None,
    kernel: Kernel = sgld,
    gauge: Gauge = "trained",
    control_variate: bool = False,
    probes: Probes | None = None,
    path: Path = "auto",
    precision: Precision = "fp32",
    memory: int | None = None,
) -> dict[str, xr.Dataset]:
    """Samples the local posterior of each restriction, and gives its trace (trace.py) by the restriction's canonical
    name. A trace depends on its own restriction alone, not on the others of the call; the model stays as it is.

    Arguments:

        model         any model (`ablations.models`)
        tokens        the data set, int64 [row, pos]; minibatches are rows of it, drawn with replacement
        restrictions  what varies, one or several: "full", "embed", "unembed", "L0", "L1H4", a parameter's name, unions
                      ("L0H1+unembed"; a matrix with two places, as a tied embedding or a block used twice, varies in
                      both)
        settings      lr, nbeta, localization, batch size, chains and draws, such as QUICK
        seed          an integer; it decides the minibatches, and with restriction and chain the noise
        loss          what chains sample with, in nats; `losses.next_token()` unless given
        kernel        the sampler's module: llc.sgld, llc.leimkuhler_matthews, llc.rmsprop or llc.mala
        gauge         "trained" for the weights as they are, "balanced" for those of the same function that do not
                      depend on training (`llc.balanced`); then each restriction is of the heads of one layer
        control_variate   whether the noise of minibatches is taken out of the gradient at the center, which lets nbeta
                      rise as far as the step allows; it costs one pass over the whole data set, forward and backward,
                      and a chain more (control_variate.py)
        probes        text whose tokens' losses are followed along the chains (`Probes`), forward only; the trace then
                      has their moments, of which `llc.covariances` makes susceptibilities and influences
        path          "fast" or "general" ask for one way; the trace's attribute `path` says which was taken, and why
        precision     "bf16" rounds the factors of the products with the vocabulary on the fast path; what that does
                      to a coefficient is measured by benchmarks/speed.py
        memory        bytes for activations; what suits the machine unless given. It decides how much is computed
                      together, and changes nothing beyond rounding

    Raises ValueError for a restriction that is unknown or selects a parameter twice, tokens or weights that cannot be
    sampled (padded rows among them, `chains.check_data`), path="fast" where only the general one serves, and an
    unknown path or precision. Raises NotMeasurable for a head that shares its keys and values with others.

    Example:

        >>> import torch
        >>> from ablations import models
        >>> from llc import QUICK, sample
        >>> sizes = {"n_layers": 2, "d_model": 16, "n_ctx": 12, "d_head": 4, "n_heads": 4, "d_vocab": 20}
        >>> model = models.new({**sizes, "attn_only": True, "seed": 0})
        >>> tokens = torch.randint(20, (32, 12), generator=torch.Generator().manual_seed(0))
        >>> traces = sample(model, tokens, ["L0H1", "unembed"], settings=QUICK, seed=0)
        >>> traces["L0H1"].loss.dims, traces["L0H1"].attrs["path"]
        (('chain', 'draw'), 'fast, fp32')
        >>> traces["unembed"].attrs["path"], traces["unembed"].attrs["dimension"]
        ('general: not a single head', 340)
    """
    if gauges.is_balanced(gauge):
        again = partial(sample, settings=settings, seed=seed, loss=loss, kernel=kernel, probes=probes, path=path)
        measure = partial(again, control_variate=control_variate, precision=precision, memory=memory)
        return gauges.in_each_layer(model, tokens, restrictions, measure)
    if path not in get_args(Path) or precision not in get_args(Precision):
        raise ValueError(
            f"path={path!r}, precision={precision!r}: choose from {get_args(Path)} and {get_args(Precision)}"
        )
    if memory is not None and memory < 1:
        raise ValueError(f"memory={memory}: bytes must be positive; leave it out for what suits the machine")
    model = as_model(model)
    weights = forward.parameters_of(model)
    loss, seed = loss or next_token(), operator.index(seed)
    parsed = restrict.parse_all(restrictions, weights, model.cfg)
    check_data(model, weights, tokens, loss)
    if probes is not None:
        probes.check(model.cfg)
    reasons = general_because(model, tokens, parsed, loss, path)
    of, whole = described(weights, tokens, loss), {}
    if control_variate:
        if kernel.WHOLE_DATA:
            raise ValueError(
                "control_variate=True with a sampler that takes the whole data at every step: leave it out"
            )
        device = next(iter(weights.values())).device
        whole = kept_whole_gradients((*of.values(), str(device)), model, tokens, loss, parsed)
    traces: dict[str, xr.Dataset] = {}
    for restriction in parsed:
        if reason := reasons[restriction.name]:
            trace = chains.sample(
                model,
                tokens,
                restriction,
                loss=loss,
                settings=settings,
                seed=seed,
                kernel=kernel,
                whole_gradient=whole.get(restriction.name),
                probes=probes,
            )
            traces[restriction.name] = trace.assign_attrs(path=f"general: {reason}")
    attrs = of | {"path": f"fast, {precision}"}
    drawn = batches(kernel, len(tokens), settings, seed)
    for number, heads in by_layer(each for each in parsed if not reasons[each.name]).items():
        recorders = {}
        for head, restriction in heads.items():
            recorders[head] = Recorder(
                restriction.flat(weights),
                kernel,
                settings,
                seed,
                attrs | {"restriction": restriction.name},
                restriction.key_bias(model.cfg),
                whole.get(restriction.name),
            )
        layer = head_loss.prepare_layer(forward.weights_of(model), model.cfg, number, bf16=precision == "bf16")
        together = room(layer, drawn.shape[1], tokens.shape[1], settings.num_chains, memory)
        if probes is not None:
            rows, length = probes.tokens.shape
            _watch(recorders, layer, probes, room(layer, rows, length, settings.num_chains, memory))
        for rows in tracked(drawn, f"chains of layer {number}"):
            _draw(recorders, Minibatch(layer, tokens[rows].to(layer.reader.device), rows, loss, together))
        traces |= {heads[head].name: recorder.trace() for head, recorder in recorders.items()}
    return {restriction.name: traces[restriction.name] for restriction in parsed}


def by_layer(restrictions: Iterable[Restriction]) -> dict[int, dict[int, Restriction]]:
    """Restrictions that are single heads, by layer, then by the head's number in it."""
    heads: dict[int, dict[int, Restriction]] = {}
    for restriction in restrictions:
        if restriction.head:
            layer, head = restriction.head
            heads.setdefault(layer, {})[head] = restriction
    return heads


def _watch(recorders: Mapping[int, Recorder], layer: Layer, probes: Probes, together: Room) -> None:
    """Lets the chains of a layer's heads follow the probes."""
    tokens = probes.tokens.to(layer.reader.device)
    text = Minibatch(layer, tokens, np.arange(len(tokens)), next_token(), together)
    for head, recorder in recorders.items():
        recorder.watch(partial(text.token_losses, head), probes.share(), probes.every)


def _draw(recorders: Mapping[int, Recorder], minibatch: Minibatch) -> None:
    """Makes one draw of every head of a layer."""
    for head, recorder in recorders.items():
        recorder.draw(minibatch.center_loss, partial(minibatch.evaluate, head))


def general_because(
    model: Model, tokens: Tokens, restrictions: Iterable[Restriction], loss: Loss, path: Path = "auto"
) -> dict[str, str]:
    """Why each restriction, by its name, takes the general path; the text is empty where it takes the fast one."""
    first_row = tokens[:1].to(next(iter(forward.parameters_of(model).values())).device)
    by_rows = isinstance(loss.prepare(first_row, np.arange(1)), Targets | SoftTargets)
    whole_loss = "" if by_rows else f"the loss {loss.name}"
    return {each.name: _general_because(model, each, whole_loss, path) for each in restrictions}


def _general_because(model: Model, restriction: Restriction, whole_loss: str, path: Path) -> str:
    """Says why the restriction takes the general path; the text is empty where it takes the fast one.

    whole_loss: what the loss is called, where it is no mean over rows, and "" otherwise. Raises ValueError where
    path="fast" was asked for and cannot serve.
    """
    if path == "general":
        return "asked for"
    reason = forward.unsupported(model.cfg) or ("" if restriction.head else "not a single head")
    reason = reason or ("its parameters are those of another part of the model, too" if restriction.ties else "")
    reason = reason or (f"{whole_loss} needs all predictions at once" if whole_loss else "")
    if reason and path == "fast":
        raise ValueError(f"{restriction.name} cannot take the fast path: {reason}; leave the choice to path='auto'")
    return reason
