"""Loss, in-context learning, copy gains, and the attention and copying scores of every head."""

from collections.abc import Callable, Mapping

import xarray as xr
from torch import Tensor

from ablations import forward
from ablations.effects import Estimate, clustered
from ablations.models import Model
from circuits import copying, scores
from experiments.measurements.labels import TEXTS, head_coords, with_errors
from experiments.results import pass_time
from experiments.results.cells import Cells
from experiments.results.committed import whole
from experiments.results.inputs import Inputs, Sequences
from experiments.results.kind import Kind


def measure(inputs: Inputs, step: int, cells: Cells) -> xr.Dataset:
    """loss, icl (nats per token), copy_gain [data], and scores by head [restriction], each with its _se.

    Of heads: previous_token, current_token, duplicate_token_text and following_token_text (prefix matching) on held-out
    text; duplicate_token and prefix_matching on random tokens that stand four times; copying on random tokens that
    stand once; ov_copying of the weights (no error).
    """
    model = inputs.model(step)
    cfg, plan, text = model.cfg, inputs.plan, inputs.text
    losses, by_head = _scored(
        model,
        text,
        {
            "previous_token": lambda patterns, rows: scores.previous_token(patterns),
            "current_token": lambda patterns, rows: scores.current_token(patterns),
            "duplicate_token_text": lambda patterns, rows: scores.attention_to(patterns, scores.duplicate_keys(rows)),
            "following_token_text": lambda patterns, rows: scores.attention_to(patterns, scores.following_keys(rows)),
        },
    )
    late, early = slice(-(cfg.n_ctx // 8), None), slice(cfg.n_ctx // 8, cfg.n_ctx * 3 // 16)
    icl = clustered(scores.in_context_learning(losses, early, late).numpy(), text.clusters)
    loss = clustered(losses.mean(1).numpy(), text.clusters)
    _, of_matching = _scored(
        model,
        inputs.matching(plan.score_sequences),
        {
            "prefix_matching": lambda patterns, rows: scores.prefix_matching(patterns, plan.matching_period),
            "duplicate_token": lambda patterns, rows: scores.attention_to(patterns, scores.duplicate_keys(rows)),
        },
    )
    by_head |= of_matching
    once = inputs.random(plan.score_sequences, plan.matching_period)
    copied = copying.copying(forward.weights_of(model), cfg, once.tokens).flatten(1).numpy()
    by_head["copying"] = [clustered(column, once.clusters) for column in copied.T]
    data: dict = {}
    for name, estimates in by_head.items():
        data |= with_errors(name, ("restriction",), estimates)
    data["ov_copying"] = (("restriction",), scores.ov_copying(forward.weights_of(model), cfg).flatten().numpy())
    data |= with_errors("copy_gain", ("data",), [_copy_gain(model, inputs, text_name) for text_name in TEXTS])
    data |= with_errors("loss", (), [loss]) | with_errors("icl", (), [icl])
    return xr.Dataset(data, head_coords(model.cfg) | {"data": list(TEXTS)})


def _copy_gain(model: Model, inputs: Inputs, text: str) -> Estimate:
    sequences = inputs.repeated(text, inputs.plan.score_sequences)
    losses, _ = _scored(model, sequences, {})
    return clustered(scores.copy_gain(losses, inputs.plan.period).numpy(), sequences.clusters)


def _scored(
    model: Model, sequences: Sequences, functions: Mapping[str, Callable[[Tensor, Tensor], Tensor]]
) -> tuple[Tensor, dict[str, list[Estimate]]]:
    """Losses of tokens, and by the name of a score an estimate for every head, errors clustered by document."""
    losses, by_head = scores.over_rows(forward.weights_of(model), model.cfg, sequences.tokens, functions)
    return losses, {
        name: [clustered(column, sequences.clusters) for column in values.numpy().T] for name, values in by_head.items()
    }


SCORES = Kind(
    "scores",
    (7,),
    measure,
    plan_fields=("text_rows", "reference_rows", "period", "matching_period", "score_sequences", "seed"),
    seconds=pass_time.Passes(400),
    keeps=whole,
)
