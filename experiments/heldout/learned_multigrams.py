"""Which of a model's multigrams each head has learned, by what removing it costs where they are completed."""

from typing import NamedTuple

import numpy as np
import xarray as xr
from scipy import stats

from circuits import mining, multigrams, rarefaction, token_kinds
from experiments.heldout import ablation_pass, labelled_tokens, model_multigrams
from experiments.heldout.ablation_pass import AblationPass
from experiments.heldout.labelled_tokens import LABELLED_TOKENS
from experiments.heldout.text_multigrams import as_patterns
from experiments.results.cells import Cells

STRONG, RAREFIED_TO = 0.05, 200  # share of the tokens that a head matters most for, and completions among them


class Completions(NamedTuple):
    """The tokens of a pass that complete multigrams of a model."""

    table: xr.Dataset  # of `model_multigrams`
    kept: xr.Dataset  # of `ablation_pass`
    numbers: np.ndarray  # of the multigram
    tokens: np.ndarray  # of the pass


def completions(cells: Cells, ablation: AblationPass) -> Completions:
    """Those of a pass whose effects on all tokens are kept."""
    kept, multigram_table = ablation_pass.kept(cells, ablation), model_multigrams.known_multigrams(cells, ablation)
    text = labelled_tokens.text(ablation_pass.rows_of(ablation, cells.inputs))
    token_of = np.full(text.tokens.size, -1)
    token_of[kept.row.values * text.tokens.shape[1] + kept.pos.values] = np.arange(kept.sizes["token"])
    numbers, places = mining.completions(text, as_patterns(multigram_table), cells.inputs.d_vocab)
    inside = token_of[places] >= 0
    return Completions(multigram_table, kept, numbers[inside], token_of[places[inside]])


def usual(cells: Cells, ablation: AblationPass, completions: Completions) -> np.ndarray:
    """The share of each kind among all tokens; multigrams are those in the table."""
    kept, contiguous = completions.kept, as_patterns(completions.table).contiguous
    of_rows = cells.get(LABELLED_TOKENS, rows=len(ablation_pass.rows_of(ablation, cells.inputs)))
    closing = [of_rows[kind].values[kept.row.values, kept.pos.values] for kind in token_kinds.KINDS[:3]]
    completed = np.zeros((2, kept.sizes["token"]), dtype=bool)
    completed[(~contiguous[completions.numbers]).astype(int), completions.tokens] = True
    return token_kinds.with_none(np.stack([*closing, *completed])).mean(1)


def data(completions: Completions) -> dict:
    """Effects on every multigram of the model, and how many of them each head has learned."""
    patterns, count = as_patterns(completions.table), completions.table.sizes["pattern"]
    effect = completions.kept.effect.values[:, completions.tokens].astype(np.float64)
    mean, se, p = multigrams.learned(
        effect, completions.numbers, completions.kept.document.values[completions.tokens], count
    )
    q, testable = np.full(p.shape, np.nan), np.isfinite(p).all(0)
    q[:, testable] = stats.false_discovery_control(p[:, testable], axis=1)
    has = (q <= multigrams.RATE) & (mean > 0)
    sorts = np.stack([patterns.contiguous, ~patterns.contiguous])
    data: dict = {name: (("multigram", *values.dims[1:]), values.values) for name, values in completions.table.items()}
    named = {"multigram_effect": mean, "multigram_se": se, "multigram_q": q}
    data |= {name: (("restriction", "multigram"), values) for name, values in named.items()}
    data["learned"] = (("restriction", "sort"), np.stack([(has & sort).sum(1) for sort in sorts], 1))
    data["multigrams"] = ("sort", sorts.sum(1))
    strong = effect >= np.quantile(completions.kept.effect.values, 1 - STRONG, axis=1)[:, None]
    counted = np.stack([np.bincount(completions.numbers[row], minlength=count) for row in strong]) * has
    return data | {
        "rarefied": ("restriction", np.array([_rarefied(row) for row in counted])),
        "with_unseen": ("restriction", np.array([rarefaction.with_unseen(row) for row in counted])),
    }


def _rarefied(counts: np.ndarray) -> float:
    return rarefaction.rarefied(counts, RAREFIED_TO) if counts.sum() >= RAREFIED_TO else float("nan")
