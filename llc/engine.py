"""Chains of many restrictions on the same minibatches: a fast path for single heads and a general one for everything
else, with one interface and the same numbers.

Fast: the chains of a head advance together, and the heads of a layer share one run of the model's own weights on each
minibatch, in pieces that fit the cache (minibatch.py, head_loss.py). General: chains.py.
"""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Literal, get_args

import numpy as np
import xarray as xr
from transformer_lens import HookedTransformer

from ablations import forward
from llc import chains, head_loss, restrict, sgld
from llc.chains import batches, check_inputs, described
from llc.kernel import Kernel
from llc.losses import Loss, SoftTargets, Targets, Tokens, next_token
from llc.minibatch import Minibatch, room
from llc.restrict import Restriction
from llc.settings import Settings
from llc.trace import Recorder

Path = Literal["auto", "fast", "general"]
Precision = Literal["fp32", "bf16"]


def sample(
    model: HookedTransformer,
    tokens: Tokens,
    restrictions: Iterable[str],
    *,
    settings: Settings,
    seed: int,
    loss: Loss | None = None,
    kernel: Kernel = sgld,
    path: Path = "auto",
    precision: Precision = "fp32",
    memory: int | None = None,
) -> dict[str, xr.Dataset]:
    """A trace (trace.py) for each restriction, by its canonical name; each depends on its own restriction alone.

    loss: `losses.next_token()` unless given. path: which is taken, and why, is the trace's attribute `path`; "fast"
    raises ValueError where it cannot serve. precision: "bf16" rounds the factors of the products with the vocabulary
    on the fast path; what that does to an LLC is measured by benchmarks/speed.py. memory: bytes for activations
    (default: what suits the machine). It sets how much is done together, and running out of it halves that, so it
    changes nothing beyond rounding.
    """
    if path not in get_args(Path) or precision not in get_args(Precision):
        raise ValueError(
            f"path={path!r}, precision={precision!r}: choose from {get_args(Path)} and {get_args(Precision)}"
        )
    if memory is not None and memory < 1:
        raise ValueError(f"memory={memory}: bytes must be positive; leave it out for what suits the machine")
    weights = {name: parameter.detach() for name, parameter in model.named_parameters()}
    loss = loss or next_token()
    parsed = [restrict.parse(text, weights, model.cfg) for text in restrictions]
    check_inputs(weights, tokens, model.cfg)
    start = tokens[:1].to(next(iter(weights.values())).device)
    whole = not isinstance(loss.prepare(start, np.arange(1)), Targets | SoftTargets)
    reasons = {one.name: _general_because(model, one, f"the loss {loss.name}" * whole, path) for one in parsed}
    traces: dict[str, xr.Dataset] = {}
    for one in parsed:
        if reason := reasons[one.name]:
            trace = chains.sample(model, tokens, one, loss=loss, settings=settings, seed=seed, kernel=kernel)
            traces[one.name] = trace.assign_attrs(path=f"general: {reason}")
    by_layer: dict[int, dict[int, Restriction]] = {}
    for one in parsed:
        if not reasons[one.name] and one.head:
            by_layer.setdefault(one.head[0], {})[one.head[1]] = one
    attrs = described(weights, tokens, loss) | {"path": f"fast, {precision}"}
    drawn = batches(kernel, len(tokens), settings, seed)
    for number, of_layer in by_layer.items():
        recorders = {}
        for head, one in of_layer.items():
            named, key_bias = attrs | {"restriction": one.name}, one.key_bias(model.cfg)
            recorders[head] = Recorder(one.flat(weights), kernel, settings, seed, named, key_bias)
        layer = head_loss.layer(forward.weights_of(model), model.cfg, number, bf16=precision == "bf16")
        together = room(layer, drawn.shape[1], tokens.shape[1], settings.num_chains, memory)
        for rows in drawn:
            _draw(recorders, Minibatch(layer, tokens[rows].to(layer.reader.device), rows, loss, together))
        traces |= {of_layer[head].name: recorder.trace() for head, recorder in recorders.items()}
    return {one.name: traces[one.name] for one in parsed}


def _draw(recorders: Mapping[int, Recorder], minibatch: Minibatch) -> None:
    """One draw of every head of a layer."""
    for head, recorder in recorders.items():
        recorder.draw(minibatch.center_loss, partial(minibatch.evaluate, head))


def _general_because(model: HookedTransformer, restriction: Restriction, whole_loss: str, path: Path) -> str:
    """Why this goes the general way; empty for the fast one. Raises ValueError where that was asked for in vain.

    whole_loss: the loss, where it cannot be taken apart into rows.
    """
    if path == "general":
        return "asked for"
    reason = forward.unsupported(model.cfg) or ("" if restriction.head else "not a single head")
    reason = reason or (f"{whole_loss} needs all predictions at once" if whole_loss else "")
    if reason and path == "fast":
        raise ValueError(f"{restriction.name} cannot take the fast path: {reason}; leave the choice to path='auto'")
    return reason
