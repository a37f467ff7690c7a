"""The multigrams that a model has at a checkpoint, and how well it predicts single tokens from a few before them."""

from pathlib import Path

import numpy as np
import xarray as xr
from jaxtyping import Bool, Int
from torch import Tensor

from ablations import affected, forward
from ablations.affected import Hits
from circuits import context_gain, mining, multigrams, token_kinds
from circuits.multigrams import FAMILIES
from experiments import runs
from experiments.heldout import ablation_pass, labelled_tokens
from experiments.heldout.ablation_pass import Survey
from experiments.measurements import inputs as bench
from experiments.measurements.inputs import Bench
from experiments.measurements.plan import Plan
from experiments.results import cells
from experiments.results.cells import Cells
from experiments.storage import store

DONORS, WINDOW = 8, multigrams.REACH + 2  # rows that stand in for other context, and how many of their tokens
MOST_AFFECTED = 40  # tokens of a head whose kind is looked at
VERSION = 2  # raised by hand when what is computed, or how, changes


def table(found: Cells, wanted: Survey) -> xr.Dataset:
    """Patterns of the text, with 20 completions in it, that are multigrams of the model: as `labelled_tokens.mined`,
    with the number of completions, and gain, gain_alone, gain_part [pattern] over the unigram (`multigrams.known`).
    """
    return store.cached(found.folder, key(found, wanted, "known"), lambda: _known(found, wanted))


def affected_kinds(found: Cells, wanted: Survey, head: str) -> xr.Dataset:
    """share [kind] of each kind, and of none, among the tokens that matter most for a head.

    Here a token completes a multigram when the model predicts it from a few of the tokens before it alone
    (`context_gain.smallest`), however rare these are in the text.
    """
    own = key(found, wanted, "affected_kinds") | {"restriction": head}
    return store.cached(found.folder, own, lambda: _affected_kinds(found, wanted, head))


def work(results: Path, folder: Path, plan: Plan, wanted: Survey, head: str | None) -> None:
    """In a worker process: the table, or one head's kinds."""
    found = Cells(results, runs.open_run(folder), plan)
    _ = table(found, wanted) if head is None else affected_kinds(found, wanted, head)


def key(found: Cells, wanted: Survey, kind: str) -> dict:
    return cells.key(found.on, kind, wanted.step) | {
        "survey": wanted.part_record() | {"tokens": wanted.tokens},
        "multigrams": labelled_tokens.mined_key(found.on),
        "types": VERSION,
    }


def windows(on: Bench) -> Tensor:
    """Tokens of other documents, among which contexts are put [donor, pos]."""
    return on.reference[:DONORS, :WINDOW]


def _known(found: Cells, wanted: Survey) -> xr.Dataset:
    on, mined, kept = found.on, labelled_tokens.mined(found), ablation_pass.kept(found, wanted)
    model, every = bench.model(on.run.folder, wanted.step), labelled_tokens.as_patterns(mined)
    text = labelled_tokens.text(ablation_pass.surveyed(wanted, on))
    clean = np.full(text.tokens.size, np.nan)
    clean[kept.row.values * text.tokens.shape[1] + kept.pos.values] = kept.clean.values
    numbers, places = mining.completions(text, every, model.cfg.d_vocab)
    inside = np.isfinite(clean[places])
    numbers, places = numbers[inside], places[inside]
    count = np.bincount(numbers, minlength=len(every.targets))
    total = -np.bincount(numbers, weights=clean[places], minlength=len(every.targets))
    often = np.flatnonzero(count >= multigrams.FEWEST)
    frequent, weights = every.take(often), forward.weights_of(model)
    base = mined.log_unigram.values[frequent.targets]
    gain = total[often] / count[often] - base
    alone = context_gain.log_probabilities(weights, model.cfg, windows(on), frequent).double().numpy() - base
    part = context_gain.best_of_parts(weights, model.cfg, windows(on), frequent) - base
    chosen = multigrams.known(gain, alone, part)
    gains = {"gain": gain, "gain_alone": alone, "gain_part": part, "completions": count[often]}
    return (
        mined.drop_dims("token")
        .isel(pattern=often[chosen])
        .assign({name: ("pattern", values[chosen]) for name, values in gains.items()})
    )


def _affected_kinds(found: Cells, wanted: Survey, head: str) -> xr.Dataset:
    on, kept = found.on, ablation_pass.kept(found, wanted)
    rows = ablation_pass.surveyed(wanted, on)
    tokens, of_rows = np.asarray(rows.tokens).astype(np.int64), labelled_tokens.kinds(found, len(rows))
    hits = _hits(kept, tokens, kept.effect.sel(change=head).values)
    top = affected.top(hits, 1, MOST_AFFECTED)
    closing = np.stack([of_rows[kind].values[top.row, top.pos] for kind in token_kinds.KINDS[:3]])
    completed, free = np.zeros((2, len(top.effect)), dtype=bool), np.flatnonzero(~closing.any(0))
    completed[:, free] = _completes(found, wanted, tokens, top.take(free))
    share = token_kinds.with_none(np.concatenate([closing, completed])).mean(1)
    return xr.Dataset({"share": ("kind", share)}, {"kind": [*token_kinds.KINDS, "none"]}, {"tokens": len(top.effect)})


def _hits(kept: xr.Dataset, tokens: np.ndarray, effect: np.ndarray) -> Hits:
    """All tokens of a pass, as lists are made of them."""
    columns = (kept[name].values for name in ("document", "position", "row", "pos"))
    back = np.arange(affected.CONTEXT, -1, -1)
    likeness = tokens[kept.row.values[:, None], kept.pos.values[:, None] - back]
    document, position, row, pos = columns
    return Hits(np.rint(effect.astype(np.float64) * 1e6).astype(np.int64), document, position, row, pos, likeness)


def _completes(
    found: Cells, wanted: Survey, tokens: Int[np.ndarray, "row pos"], top: Hits
) -> Bool[np.ndarray, "sort hit"]:
    """Is a contiguous, is a gapped context of a few tokens enough for the model?"""
    on, model = found.on, bench.model(found.on.run.folder, wanted.step)
    weights, targets = forward.weights_of(model), tokens[top.row, top.pos]
    before = tokens[top.row[:, None], top.pos[:, None] - np.arange(1, multigrams.REACH + 1)]
    log_unigram = labelled_tokens.mined(found).log_unigram.values
    clean = ablation_pass.clean_losses(ablation_pass.kept(found, wanted), top)
    gain = -clean - log_unigram[targets]
    family = context_gain.smallest(weights, model.cfg, windows(on), before, targets, gain, log_unigram)
    is_contiguous = np.array([max(offsets) == len(offsets) for offsets in FAMILIES])[family]
    return np.stack([(family >= 0) & is_contiguous, (family >= 0) & ~is_contiguous])
