"""What cutting sets of earlier heads from the induction heads takes from their attention and from copying.

Beside `measurements.induction_heads`: the attention itself, every sequence by itself, and two ablations of what a path
carries (mean and resample).
"""

from itertools import product

import numpy as np
import torch
import xarray as xr
from jaxtyping import Int64
from torch import Tensor

from ablations import changed_losses, forward, rerun, substitutes
from ablations.changes import Change
from ablations.forward import Weights
from ablations.models import Config
from ablations.names import Head, head_name, parse_head
from ablations.paths import VIAS, Path
from circuits import induction
from experiments.jobs.job import Job
from experiments.measurements.induction_heads import INDUCTION_HEADS
from experiments.results import pass_time
from experiments.results.cells import Cells
from experiments.results.committed import whole
from experiments.results.inputs import Inputs
from experiments.results.kind import Kind

METHODS = ("mean", "resample")
SEQUENCES = 64  # of repeated random tokens


def table(cells: Cells, step: int) -> xr.Dataset:
    """What `measure` says, of the heads that are previous-token and induction heads at the end."""
    return cells.get(INDUCTION_CUTS, step, **parameters(cells))


def missing(cells: Cells, step: int) -> list[Job]:
    """The job of `table`, nothing where it is there."""
    return cells.missing(INDUCTION_CUTS, step, **parameters(cells))


def parameters(cells: Cells) -> dict:
    """The parameters of the cell that `table` gives: the heads of the circuit."""
    attrs = cells.table(INDUCTION_HEADS).attrs
    return {"heads": [attrs["previous"], attrs["induction"]]}


def measure(inputs: Inputs, step: int, cells: Cells, heads: list[str]) -> xr.Dataset:
    """attention_lost and gain_lost [method, sources, via, sequence], attention and gain [sequence], of the
    previous-token and the induction heads (attrs) on repeated random tokens.

    attention: mean over the induction heads of their attention to the token after the previous occurrence, between 0
    and 1. gain: how much cheaper the second copy is, nats per token. Lost: clean minus cut, positive where the path
    helps; cut from all induction heads at once, as many sources as there are previous-token heads.
    """
    (previous, inducing), model = heads, inputs.model(step)
    weights, cfg = forward.weights_of(model), model.cfg
    tokens = inputs.repeated("random", SEQUENCES).tokens
    targets, sets = _heads(inducing), induction.same_size_sets(_heads(previous), cfg)
    cuts = list(product(sets, VIAS))
    changes = [Change(cuts=tuple(Path(s, target, via) for s in sources for target in targets)) for sources, via in cuts]
    with torch.no_grad():
        clean = rerun.clean_run(weights, cfg, tokens)
        losses = forward.token_losses(weights, cfg, clean.residuals[-1], tokens)
        nothing = substitutes.zeros(cfg)(slice(0, len(tokens)))[0]
        attended = induction.matching_attention(weights, cfg, clean, [((), "k")], targets, nothing)[0]
    attention_lost, gain_lost = [], []
    for stand_in in _stand_ins(inputs, weights, cfg, tokens):
        (values,) = stand_in(slice(0, len(tokens)))
        with torch.no_grad():
            under = induction.matching_attention(weights, cfg, clean, cuts, targets, values)
        attention_lost.append((attended - under).double().numpy())
        gain_lost.append(changed_losses.effects(weights, cfg, tokens, changes, induction.negative_copy_gain, stand_in))
    dims, shape = ("method", "sources", "via", "sequence"), (len(METHODS), len(sets), len(VIAS), len(tokens))
    data = {
        "attention_lost": (dims, np.array(attention_lost).reshape(shape)),
        "gain_lost": (dims, np.array(gain_lost).reshape(shape)),
        "attention": ("sequence", attended.double().numpy()),
        "gain": ("sequence", -induction.negative_copy_gain(losses).double().numpy()),
    }
    names = ["+".join(map(head_name, sources)) for sources in sets]
    return xr.Dataset(
        data,
        {"method": list(METHODS), "sources": names, "via": list(VIAS)},
        {"previous": "+".join(map(head_name, sorted(_heads(previous)))), "induction": inducing, "step": step},
    )


def _stand_ins(
    inputs: Inputs, weights: Weights, cfg: Config, tokens: Int64[Tensor, "row pos"]
) -> list[substitutes.Substitutes]:
    length = tokens.shape[1]
    donors = substitutes.pool(weights, cfg, inputs.reference[:, :length], inputs.reference_documents[:, :length])
    of_none = np.full(tuple(tokens.shape), -1)  # random tokens are of no document
    return [
        substitutes.means(weights, cfg, inputs.reference),
        substitutes.resamples(donors, of_none, 1, inputs.plan.seed),
    ]


def _heads(names: str) -> list[Head]:
    return [parse_head(name) for name in names.split("+")]


INDUCTION_CUTS = Kind(
    "induction_cuts",
    (6,),
    measure,
    plan_fields=("text_rows", "reference_rows", "period", "seed"),
    seconds=pass_time.Passes(2000),
    keeps=whole,
)
