"""The multigrams that a model has at a checkpoint, and how well it predicts single tokens from a few before them."""

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float, Int, Int64
from torch import Tensor

from ablations import affected, forward
from ablations.affected import Hits
from ablations.models import Model
from circuits import context_gain, mining, multigrams, natural_gain, token_kinds
from circuits.multigrams import FAMILIES, Patterns, Text
from circuits.natural_gain import Known
from experiments.heldout import ablation_pass, labelled_tokens, type_passes
from experiments.heldout.ablation_pass import AblationPass
from experiments.heldout.labelled_tokens import LABELLED_TOKENS
from experiments.heldout.text_multigrams import TEXT_MULTIGRAMS, as_patterns, sizes
from experiments.results import pass_time
from experiments.results.cells import Cells
from experiments.results.inputs import Inputs
from experiments.results.kind import Kind, Parameters

DONORS, WINDOW = 8, multigrams.REACH + 2  # rows that stand in for other context, and how many of their tokens
MOST_AFFECTED = 40  # tokens of a head whose kind is looked at


def windows(inputs: Inputs) -> Tensor:
    """Tokens of other documents, among which contexts are put [donor, pos]."""
    return inputs.reference[:DONORS, :WINDOW]


def measure_known(inputs: Inputs, step: int, cells: Cells, ablation: Parameters) -> xr.Dataset:
    """The patterns of the text, with 20 completions in it, that are multigrams of the model: as `text_multigrams` has
    them, with the number of completions, and gain, gain_alone, gain_part [pattern] over the unigram
    (`multigrams.known`; of skip n-grams by `natural_gain.known`).
    """
    asked = ablation_pass.of_record(ablation, step)
    mined, kept = cells.get(TEXT_MULTIGRAMS), ablation_pass.kept(cells, asked)
    model, every = inputs.model(step), as_patterns(mined)
    text = labelled_tokens.text(ablation_pass.rows_of(asked, inputs))
    clean = np.full(text.tokens.size, np.nan)
    clean[kept.row.values * text.tokens.shape[1] + kept.pos.values] = kept.clean.values
    numbers, places = mining.completions(text, every, model.cfg.d_vocab)
    inside = np.isfinite(clean[places])
    numbers, places = numbers[inside], places[inside]
    count = np.bincount(numbers, minlength=len(every.targets))
    total = -np.bincount(numbers, weights=clean[places], minlength=len(every.targets))
    often = np.flatnonzero(count >= multigrams.FEWEST)
    frequent = every.take(often)
    log_unigram = mined.log_unigram.values
    gain = total[often] / count[often] - log_unigram[frequent.targets]
    alone, part, chosen = which_are_known(model, windows(inputs), text, frequent, gain, log_unigram)
    gains = {"gain": gain, "gain_alone": alone, "gain_part": part, "completions": count[often]}
    return (
        mined.drop_dims("token")
        .isel(pattern=often[chosen])
        .assign({name: ("pattern", values[chosen]) for name, values in gains.items()})
    )


def which_are_known(
    model: Model,
    donors: Int64[Tensor, "donor pos"],
    text: Text,
    patterns: Patterns,
    gain: Float[np.ndarray, " pattern"],
    log_unigram: Float[np.ndarray, " vocab"],
) -> Known:
    """n-grams are asked for among tokens of other documents, skip n-grams where they stand in the text."""
    weights, contiguous = forward.weights_of(model), np.flatnonzero(patterns.contiguous)
    found = Known(np.empty(len(gain)), np.empty(len(gain)), np.zeros(len(gain), dtype=bool))
    by_skips = natural_gain.known(
        weights, model.cfg, text, patterns.take(~patterns.contiguous), gain[~patterns.contiguous], log_unigram
    )
    ngrams, base = patterns.take(contiguous), log_unigram[patterns.targets[contiguous]]
    alone = context_gain.log_probabilities(weights, model.cfg, donors, ngrams).double().numpy() - base
    part = context_gain.best_of_parts(weights, model.cfg, donors, ngrams) - base
    by_ngrams = Known(alone, part, multigrams.known(gain[contiguous], alone, part))
    for column, of_ngrams, of_skips in zip(found, by_ngrams, by_skips, strict=True):
        column[contiguous], column[~patterns.contiguous] = of_ngrams, of_skips
    return found


def measure_affected(inputs: Inputs, step: int, cells: Cells, ablation: Parameters, restriction: str) -> xr.Dataset:
    """share [kind] of each kind, and of none, among the tokens that a head's direct path to the output matters most
    for; the pass is one in which such paths are cut.

    Here a token completes a multigram when the model predicts it from a few of the tokens before it alone
    (`context_gain.smallest`), however rare these are in the text. Repeats at which an induction head's path matters
    more are left out.
    """
    asked = ablation_pass.of_record(ablation, step)
    kept, rows = ablation_pass.kept(cells, asked), ablation_pass.rows_of(asked, inputs)
    tokens, of_rows = np.asarray(rows.tokens).astype(np.int64), cells.get(LABELLED_TOKENS, rows=len(rows))
    effect = kept.effect.sel(change=restriction).values
    repeats = of_rows[token_kinds.KINDS[0]].values[kept.row.values, kept.pos.values]
    rivals = [type_passes.word(head) for head in type_passes.inducing(cells, step)]
    others = repeats & (effect < kept.effect.sel(change=rivals).values.max(0, initial=-np.inf))
    hits = ablation_pass.as_hits(kept, tokens, np.where(others, -np.inf, effect).clip(min=-1e6))
    top = affected.top(hits, 1, MOST_AFFECTED)
    closing = np.stack([of_rows[kind].values[top.row, top.pos] for kind in token_kinds.KINDS[:3]])
    completed, free = np.zeros((2, len(top.effect)), dtype=bool), np.flatnonzero(~closing.any(0))
    completed[:, free] = _completes(cells, asked, tokens, top.take(free))
    share = token_kinds.with_none(np.concatenate([closing, completed])).mean(1)
    return xr.Dataset({"share": ("kind", share)}, {"kind": [*token_kinds.KINDS, "none"]}, {"tokens": len(top.effect)})


def known_multigrams(cells: Cells, ablation: AblationPass) -> xr.Dataset:
    """What `measure_known` says, of the pass's checkpoint."""
    return cells.get(MODEL_MULTIGRAMS, ablation.step, ablation=ablation.record())


def affected_kinds(cells: Cells, ablation: AblationPass, path: str) -> xr.Dataset:
    """What `measure_affected` says, of a path at the pass's checkpoint."""
    return cells.get(AFFECTED_KINDS, ablation.step, ablation=ablation.record(), restriction=path)


def label_of_head(inputs: Inputs, parameters: Parameters) -> str:
    """What is measured, and of which head."""
    return f"kinds of the tokens that {parameters['restriction']} matters for"


def _completes(
    cells: Cells, ablation: AblationPass, tokens: Int[np.ndarray, "row pos"], top: Hits
) -> Bool[np.ndarray, "sort hit"]:
    """Whether a contiguous, and whether a gapped context of a few tokens is enough for the model."""
    model = cells.inputs.model(ablation.step)
    weights, targets = forward.weights_of(model), tokens[top.row, top.pos]
    before = tokens[top.row[:, None], top.pos[:, None] - np.arange(1, multigrams.REACH + 1)]
    log_unigram = cells.get(TEXT_MULTIGRAMS).log_unigram.values
    clean = ablation_pass.clean_losses(ablation_pass.kept(cells, ablation), top)
    gain = -clean - log_unigram[targets]
    family = context_gain.smallest(weights, model.cfg, windows(cells.inputs), before, targets, gain, log_unigram)
    is_contiguous = np.array([max(offsets) == len(offsets) for offsets in FAMILIES])[family]
    return np.stack([(family >= 0) & is_contiguous, (family >= 0) & ~is_contiguous])


def seconds_of_known(inputs: Inputs, parameters: Parameters) -> float:
    """Rough seconds, which go with the tokens of the pass: the more there are, the more patterns are frequent."""
    return pass_time.seconds(inputs, 2.5e-3 * parameters["ablation"]["tokens"])


PLAN_FIELDS = ("text_rows", "reference_rows", "seed")

MODEL_MULTIGRAMS = Kind(
    "model_multigrams",
    (7, 2),
    measure_known,
    splits=("train", "test"),
    plan_fields=PLAN_FIELDS,
    seconds=seconds_of_known,
    also=sizes,
)
AFFECTED_KINDS = Kind(
    "affected_kinds",
    (7, 2),
    measure_affected,
    splits=("train", "test"),
    plan_fields=PLAN_FIELDS,
    seconds=pass_time.Passes(200),
    label=label_of_head,
    also=sizes,
)
