"""Simpler measures of a head: curvature of the loss at its weights, and how large the weights are."""

import numpy as np
import xarray as xr

from ablations import forward
from ablations.names import Head, all_heads, head_name
from experiments.measurements.labels import head_coords
from experiments.results import pass_time
from experiments.results.cells import Cells
from experiments.results.committed import without_traces
from experiments.results.inputs import Inputs
from experiments.results.kind import Kind, sampled_checkpoints
from llc.estimate import VERSION
from llc.fisher_trace import fisher_trace
from llc.hessian_trace import hessian_trace

ROWS = 96  # of the train split: standard errors of about a tenth


def measure(inputs: Inputs, step: int, cells: Cells) -> xr.Dataset:
    """hessian, fisher (each with its _se) and weight_norm of every head [restriction].

    Traces over the head's parameters, in nats per token, of the loss on rows that rLLC chains sample, each row with a
    probe of its own; Fisher information of labels that the model draws (llc/fisher_trace.py). weight_norm: Frobenius
    norm of W_Q, W_K, W_V and W_O together.
    """
    model, rows = inputs.model_here(step), inputs.sampled[:ROWS]
    weights, heads = forward.weights_of(model), all_heads(model.cfg)
    names = [head_name(head) for head in heads]
    data: dict = {"weight_norm": ("restriction", np.array([_norm(weights, head) for head in heads]))}
    for name, trace in (("hessian", hessian_trace), ("fisher", fisher_trace)):
        traces = trace(model, rows, names, seed=inputs.plan.seed)
        data[name] = ("restriction", np.array([traces[head].value for head in names]))
        data[f"{name}_se"] = ("restriction", np.array([traces[head].se for head in names]))
    return xr.Dataset(data, head_coords(model.cfg), {"rows": len(rows)})


def _norm(weights: forward.Weights, head: Head) -> float:
    of_layer = forward.head_weights(weights, head[0])
    squares = [weight[head[1]].square().sum() for weight in (of_layer.W_Q, of_layer.W_K, of_layer.W_V, of_layer.W_O)]
    return float(sum(squares)) ** 0.5


CURVATURE = Kind(
    "curvature",
    (6, VERSION),
    measure,
    splits=("train",),
    steps=sampled_checkpoints,
    plan_fields=("sampled_rows", "seed"),
    seconds=pass_time.Passes(2100),
    keeps=without_traces,
)
