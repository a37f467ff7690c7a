"""How far back each head looks on random tokens, of which nothing but places can tell where to look."""

import xarray as xr

from ablations import forward
from ablations.effects import clustered
from circuits import scores
from experiments.measurements.labels import head_coords, with_errors
from experiments.results import pass_time
from experiments.results.cells import Cells
from experiments.results.inputs import Inputs
from experiments.results.kind import Kind


def measure(inputs: Inputs, step: int, cells: Cells) -> xr.Dataset:
    """back [restriction, offset]: mean attention to the token itself (0), the one before (1), and so on; with its error
    over sequences, as `labels.with_errors` gives it.
    """
    model, rows = inputs.model(step), inputs.random(inputs.plan.score_sequences, inputs.plan.period)
    most = inputs.plan.period - 1
    looks = {"back": lambda patterns, _: scores.by_offset(patterns, most).flatten(1)}
    _, found = scores.over_rows(forward.weights_of(model), model.cfg, rows.tokens, looks)
    by_head = found["back"].unflatten(1, (-1, most + 1)).double().numpy()  # [sequence, restriction, offset]
    estimates = [clustered(column, rows.clusters) for column in by_head.reshape(len(by_head), -1).T]
    data = with_errors("back", ("restriction", "offset"), estimates, by_head.shape[1:])
    return xr.Dataset(data, head_coords(model.cfg) | {"offset": list(range(most + 1))})


OFFSETS = Kind(
    "offsets",
    (1,),
    measure,
    plan_fields=("text_rows", "reference_rows", "period", "score_sequences", "seed"),
    seconds=pass_time.Passes(60),
)
