"""Trace of the Fisher information, over the parameters of each restriction.

A sample is a row: its contexts are the text's, its log-likelihood is the sum over its T predicted tokens. The trace is
given per predicted token, the units of the Hessian trace of the mean loss:

    tr F = (1 / T) E_rows |grad of sum_t log p(y_t | context_t)|^2 = T E_rows |grad of the row's mean loss|^2

(divide by T for the mean squared gradient of the row's mean loss). Two kinds, by the labels y:

    "model"  y_t drawn from the model's own predictions, each by itself: the Fisher information. Terms of different
             positions have mean 0, so this is the trace of the Gauss-Newton part of the Hessian, and as near to the
             Hessian's trace as the model's predictions are to the text.
    "data"   the text's own tokens: the "empirical Fisher", the second moment of the gradients that training sees.
             Its terms of different positions stay, and it is no curvature (Kunstner et al., arXiv:1905.12558).
"""

from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Int64
from torch import Tensor

from ablations import forward
from ablations.models import Model, as_model
from ablations.running import as_in_workers, tracked
from llc import restrict, tied
from llc.chains import check_data
from llc.hessian_trace import Curvature, over_samples, parameters
from llc.losses import Predictions, Tokens, by_token, next_token, predictor
from llc.restrict import Restriction
from llc.trace import generator

Labels = Literal["model", "data"]


@as_in_workers()
def fisher_trace(
    model: Model,
    tokens: Tokens,
    restrictions: str | Iterable[str],
    *,
    seed: int,
    labels: Labels = "model",
) -> dict[str, Curvature]:
    """Estimates the trace for each restriction, by its canonical name, for any model at its own weights.

    Arguments:

        tokens        rows [row, pos] that are independent draws of the text
        restrictions  the parameters whose traces are asked for, as in `llc.sample`
        seed          an integer; it decides the labels, one for each token
        labels        "model" (the Fisher information) or "data" (the "empirical Fisher")

    Standard errors are over rows, the draw of the labels included. Raises ValueError for data or weights that cannot be
    run, and for less than two rows.
    """
    if len(tokens) < 2:
        raise ValueError(f"{len(tokens)} rows: give two or more, for an error")
    model = as_model(model)
    weights = forward.parameters_of(model)
    check_data(model, weights, tokens, next_token())
    parsed = restrict.parse_all(restrictions, weights, model.cfg)
    draws = generator(seed, "Fisher labels") if labels == "model" else None
    return over_samples(squared_gradients(model, tokens, parsed, draws), parsed)


@as_in_workers()
def squared_gradients(
    model: Model, tokens: Tokens, restrictions: Sequence[Restriction], draws: torch.Generator | None
) -> Float[np.ndarray, "row restriction"]:
    """T |grad of the row's mean loss|^2 of each row; labels are drawn from the model's predictions, or the text's own
    where there is no generator.

    Rows are run one by one, for a row of the context's length is work enough for a core.
    """
    model = as_model(model)
    weights = forward.parameters_of(model)
    varied = {name: weights[name].detach().requires_grad_() for name in parameters(restrictions)}
    predict, own_ties, squares = predictor(model), tied.ties(weights), []
    rows = tokens.to(next(iter(weights.values())).device).clone().split(1)  # indices are saved for gradients
    for row in tracked(rows, "gradients of rows"):
        with torch.enable_grad():
            predictions = predict(tied.followed(weights | varied, own_ties), row)
            targets = row[:, 1:] if draws is None else drawn(predictions, draws)
            loss = F.cross_entropy(by_token(predictions), targets.flatten())
            gradient = torch.autograd.grad(loss, list(varied.values()), materialize_grads=True)
        named = dict(zip(varied, gradient, strict=True))
        squares.append([targets.numel() * each.flat(named).double().square().sum().item() for each in restrictions])
    return np.array(squares)


def drawn(predictions: Predictions, draws: torch.Generator) -> Int64[Tensor, "batch predicted"]:
    """Draws one token from each prediction."""
    probabilities = by_token(predictions.detach().softmax(-1)).cpu()
    labels = torch.multinomial(probabilities, 1, generator=draws)
    by_row = rearrange(labels, "(batch predicted) 1 -> batch predicted", batch=len(predictions))
    return by_row.to(predictions.device)
