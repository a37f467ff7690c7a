"""What removing each head costs on held-out text, by each kind of ablation."""

import xarray as xr

from ablations import changed_losses, forward, substitutes
from ablations.changes import Change
from ablations.effects import clustered
from ablations.names import all_heads
from experiments.measurements.labels import head_coords, with_errors
from experiments.results import pass_time
from experiments.results.cells import Cells
from experiments.results.committed import whole
from experiments.results.inputs import Inputs, Sequences
from experiments.results.kind import Kind, Parameters


def measure(inputs: Inputs, step: int, cells: Cells) -> xr.Dataset:
    """effect, effect_se [restriction, method]: the loss rise on held-out text when a head is removed by zero, mean or
    resample ablation; nats per token, positive where the head helps, errors clustered by document.
    """
    model = inputs.model_here(step)
    weights, cfg = forward.weights_of(model), model.cfg
    rows = inputs.plan.ablation_rows
    text = Sequences(inputs.text.tokens[:rows], inputs.text.clusters[:rows])
    changes = [Change(heads=(head,)) for head in all_heads(cfg)]
    donors = substitutes.pool(weights, cfg, inputs.reference, inputs.reference_documents)
    methods = {
        "zero": substitutes.zeros(cfg),
        "mean": substitutes.means(weights, cfg, inputs.reference),
        "resample": substitutes.resamples(donors, inputs.text_documents[:rows], 1, inputs.plan.seed),
    }
    effects = [
        changed_losses.effects(weights, cfg, text.tokens, changes, lambda losses: losses.mean(1), method)
        for method in methods.values()
    ]
    estimates = [clustered(row, text.clusters) for head in zip(*effects, strict=True) for row in head]
    coords = head_coords(model.cfg) | {"method": list(methods)}
    return xr.Dataset(with_errors("effect", ("restriction", "method"), estimates, (-1, 3)), coords)


def seconds(inputs: Inputs, parameters: Parameters) -> float:
    """Rough seconds of all heads by each method."""
    changes = [Change(heads=(head,)) for head in all_heads(inputs.run.model_config())]
    return pass_time.of_changes(inputs, changes, 3.6 * inputs.plan.ablation_rows)


ABLATIONS = Kind(
    "ablations",
    (7,),
    measure,
    plan_fields=("text_rows", "reference_rows", "ablation_rows", "seed"),
    seconds=seconds,
    keeps=whole,
)
