"""Which heads make the induction circuit at the end of training, and what cutting sets of heads from it removes."""

import xarray as xr

from ablations import forward, substitutes
from ablations.names import Head, all_heads, head_name
from ablations.paths import VIAS
from circuits import classify, induction
from experiments.measurements.labels import TEXTS, with_errors
from experiments.measurements.scores import SCORES
from experiments.results import pass_time
from experiments.results.cells import Cells
from experiments.results.committed import whole
from experiments.results.inputs import Inputs
from experiments.results.kind import Kind, Parameters, last_checkpoint


def measure(inputs: Inputs, step: int, cells: Cells) -> xr.Dataset:
    """removed, shortfall (each with its _se) [data, sources, via]: the copy gain that cutting a set of heads from the
    induction heads removes, and by how much less it is than the previous-token heads' through keys; attrs: both lists.
    """
    model = inputs.model(step)
    weights, cfg = forward.weights_of(model), model.cfg
    scores = cells.get(SCORES, step)
    heads = all_heads(cfg)
    previous = classify.previous_token_heads(dict(zip(heads, scores.previous_token.values.tolist(), strict=True)))
    matching = classify.induction_heads(dict(zip(heads, scores.prefix_matching.values.tolist(), strict=True)))
    means = substitutes.means(weights, cfg, inputs.reference)
    by_text = []
    for text in TEXTS:
        sequences = inputs.repeated(text, inputs.plan.circuit_sequences)
        cuts = induction.set_cuts(weights, cfg, sequences.tokens, sequences.clusters, previous, matching, means)
        by_text.append({(_names(cut.sources), cut.via): cut for cut in cuts})
    sets = sorted({sources for sources, _ in by_text[0]})
    ordered = [cuts[sources, via] for cuts in by_text for sources in sets for via in VIAS]
    dims, shape = ("data", "sources", "via"), (len(TEXTS), len(sets), len(VIAS))
    data = with_errors("removed", dims, [cut.removed for cut in ordered], shape)
    data |= with_errors("shortfall", dims, [cut.shortfall for cut in ordered], shape)
    attrs = {"previous": _names(tuple(sorted(previous))), "induction": _names(tuple(sorted(matching)))}
    return xr.Dataset(data, {"data": list(TEXTS), "sources": sets, "via": list(VIAS)}, attrs)


def thresholds(inputs: Inputs, step: int | None) -> dict:
    """The scores from which on a head counts as one of the circuit."""
    return {"previous_token": classify.PREVIOUS_TOKEN, "prefix_matching": classify.PREFIX_MATCHING}


def _names(heads: tuple[Head, ...]) -> str:
    return "+".join(head_name(head) for head in heads)


def seconds(inputs: Inputs, parameters: Parameters) -> float:
    """Rough seconds where one head attends to the previous token: every head of its layer in its place."""
    cfg, plan = inputs.run.model_config(), inputs.plan
    tokens = len(TEXTS) * len(VIAS) * cfg.n_heads * plan.circuit_sequences * 2 * plan.period
    return pass_time.seconds(inputs, tokens / inputs.n_ctx * pass_time.rerun(cfg, min(1, cfg.n_layers - 1)))


INDUCTION_HEADS = Kind(
    "circuit",
    (7,),
    measure,
    steps=last_checkpoint,
    plan_fields=(*SCORES.plan_fields, "circuit_sequences"),
    seconds=seconds,
    also=thresholds,
    keeps=whole,
)
