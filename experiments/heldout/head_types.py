"""What each head of a run is at a checkpoint, with the evidence: one pass over held-out text, and the run's multigrams.

Numbers of multigrams depend on how often they are seen. So beside the number that a head has learned stand the number
to be expected among equally many of their completions (200 of those among the 5% of tokens that it matters most for),
and the number seen among all of these with a lower bound of those unseen (`circuits.rarefaction`).
"""

import contextlib
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import replace
from itertools import chain
from typing import NamedTuple

import numpy as np
import xarray as xr
from scipy import stats

from ablations.effects import Estimate
from ablations.names import all_heads, head_name, parse_head
from ablations.not_measurable import NotMeasurable
from circuits import classify, mining, multigrams, rarefaction, token_kinds
from circuits.classify import Evidence
from experiments.heldout import ablation_pass, labelled_tokens, model_multigrams
from experiments.heldout.ablation_pass import AblationPass
from experiments.heldout.labelled_tokens import LABELLED_TOKENS
from experiments.heldout.model_multigrams import AFFECTED_KINDS, MODEL_MULTIGRAMS
from experiments.heldout.text_multigrams import TEXT_MULTIGRAMS, as_patterns, sizes
from experiments.jobs import runner
from experiments.jobs.job import Job
from experiments.measurements.scores import SCORES
from experiments.results.cells import Cells
from experiments.results.inputs import Inputs
from experiments.results.kind import Kind, Parameters
from experiments.statistics.intervals import margin

ATTENTION = {
    "previous_token": "attention to the token before",
    "current_token": "attention to the token itself",
    "prefix_matching": "prefix-matching score (random tokens that repeat)",
}
ENDS = ("", "_se", "_degrees")  # of the names of a mean, its error, and this error's degrees of freedom
STRONG, RAREFIED_TO = 0.05, 200
TOKENS = 500_000  # of held-out text, or all where there are fewer
JOINT_TOKENS = 50_000  # of text on which sets of heads are removed


class Completions(NamedTuple):
    """The tokens of a pass that complete multigrams of a model."""

    table: xr.Dataset  # of `model_multigrams`
    kept: xr.Dataset  # of `ablation_pass`
    numbers: np.ndarray  # of the multigram
    tokens: np.ndarray  # of the pass


def pass_of_types(cells: Cells, step: int, tokens: int | None = None, heads: Sequence[str] = ()) -> AblationPass:
    """The pass over the text that types need (default: `TOKENS`, or all where there are fewer).

    heads: those whose types are asked for, by name (default: all). A head's type does not depend on the others asked
    for. Raises ValueError for a step or a number of tokens that there is not, NotMeasurable where no text is left.
    """
    inputs = cells.inputs
    count = min(TOKENS, inputs.free_tokens) if tokens is None else tokens
    return ablation_pass.of_heads(inputs, step, count, heads)


def pass_for(cells: Cells, step: int, tokens: int | None, heads: Sequence[str]) -> AblationPass:
    """The pass whose table tells of these heads: that of all where it is known, or there are none; else of these."""
    of_all = pass_of_types(cells, step, tokens)
    return of_all if not heads or known(cells, of_all) is not None else pass_of_types(cells, step, tokens, heads)


def compute(cells: Cells, ablation: AblationPass, executor: Executor) -> None:
    """Everything that `table` needs and that takes long."""
    if known(cells, ablation) is not None:
        return
    runner.run(_of_text(cells, ablation), executor, cells.run.name)
    then = [*_of_model(cells, ablation), *ablation_pass.missing(cells, _joint(cells, ablation))]
    runner.run(then, executor, cells.run.name)


def missing(cells: Cells, ablation: AblationPass) -> list[Job]:
    """What `compute` will do, as far as it is known before; nothing where `table` is there."""
    return [] if known(cells, ablation) is not None else [*_of_text(cells, ablation), *_of_model(cells, ablation)]


def _of_text(cells: Cells, ablation: AblationPass) -> list[Job]:
    """The jobs that need no other."""
    rows = len(ablation_pass.rows_of(ablation, cells.inputs))
    jobs = ablation_pass.missing(cells, ablation)
    return [*jobs, *cells.missing(TEXT_MULTIGRAMS), *cells.missing(LABELLED_TOKENS, rows=rows)]


def _of_model(cells: Cells, ablation: AblationPass) -> list[Job]:
    """The jobs that need those of the text."""
    record, step = ablation.record(), ablation.step
    of_heads = (cells.missing(AFFECTED_KINDS, step, ablation=record, restriction=head) for head in ablation.what)
    return [*chain.from_iterable(of_heads), *cells.missing(MODEL_MULTIGRAMS, step, ablation=record)]


def table(cells: Cells, ablation: AblationPass) -> xr.Dataset:
    """What `measure` says, of the pass's checkpoint."""
    return cells.get(HEAD_TYPES, ablation.step, ablation=ablation.record())


def known(cells: Cells, ablation: AblationPass) -> xr.Dataset | None:
    """`table` where it was computed, or committed and these are read; else None."""
    return cells.read(HEAD_TYPES, ablation.step, ablation=ablation.record())


def labels(cells: Cells, step: int) -> dict[str, str]:
    """Types by head, where `table` is known over the default text; else nothing."""
    with contextlib.suppress(NotMeasurable):  # where there is no text for it
        stored = known(cells, pass_of_types(cells, step))
        if stored is not None:
            return dict(zip(stored.restriction.values.tolist(), stored.type.values.tolist(), strict=True))
    return {}


def measure(inputs: Inputs, step: int, cells: Cells, ablation: Parameters) -> xr.Dataset:
    """Types at a checkpoint.

    By head (`restriction`): type, why; effect (mean ablation, nats per token), previous_token, current_token,
    prefix_matching (each with _se and _degrees); affected [kind], the share of each kind among the 40 tokens that it
    matters most for; learned [sort], n-grams and skip n-grams that it has learned: multigrams of the model on whose
    completions removing it costs something, at a false-discovery rate of 5% within the head; rarefied, with_unseen.
    Of all tokens: usual [kind]; multigrams [sort] of the model that have 20 completions. By multigram: all of
    `model_multigrams.measure_known`, and multigram_effect, multigram_se, multigram_q [restriction, multigram]; NaN
    where all completions are of one document. rarefied is NaN where there are fewer than 200 completions.
    """
    asked = ablation_pass.of_record(ablation, step)
    means, completions = ablation_pass.means(cells, asked), _completions(cells, asked)
    names, joint = [str(name) for name in means.change.values], ablation_pass.means(cells, _joint(cells, asked))
    scores = cells.get(SCORES, step).sel(restriction=names)
    every = float(joint.effect[0])
    shares = np.stack([model_multigrams.affected_kinds(cells, asked, name).share.values for name in names])
    types = []
    for number, name in enumerate(names):
        effect = Estimate(*(float(means[f"effect{end}"][number]) for end in ENDS))
        attention = {score: float(scores[score].sel(restriction=name)) for score in ATTENTION}
        of_kind = dict(zip(token_kinds.KINDS, shares[number, :-1].tolist(), strict=True))
        given = _given_alike(cells, asked, joint, name)
        evidence = Evidence(effect, affected=of_kind, all_heads=every, given_alike=given, **attention)
        types.append(classify.head_type(parse_head(name), evidence))
    data = _multigram_data(completions)
    data |= {"type": ("restriction", [t.label for t in types]), "why": ("restriction", [t.why for t in types])}
    data |= {name: ("restriction", means[name].values) for name in map("effect{}".format, ENDS)}
    for score in ATTENTION:
        data |= {name: ("restriction", scores[name].values) for name in map(f"{score}{{}}".format, ENDS)}
    data["all_heads"] = ((), np.array(every))
    data |= {"affected": (("restriction", "kind"), shares), "usual": ("kind", _usual(cells, asked, completions))}
    coords = {"restriction": names, "kind": [*token_kinds.KINDS, "none"], "sort": ["n-gram", "skip n-gram"]}
    return xr.Dataset(data, coords, {"tokens": means.attrs["tokens"], "documents": means.attrs["documents"]})


def _joint(cells: Cells, ablation: AblationPass) -> AblationPass:
    """Removing all heads at once; and what tells whether heads without effect stand for others that attend alike."""
    means, groups = ablation_pass.means(cells, ablation), _alike(cells, ablation.step)
    asked = [name for name in ablation.what if name in groups]
    idle = [name for name in asked if float(means.effect.sel(change=name)) <= 0 or _in_doubt(means, name)]
    pairs = [pair for name in idle for pair in _with_and_without(groups[name], name)]
    every = "+".join(head_name(head) for head in all_heads(cells.run.model_config()))
    what = tuple(dict.fromkeys([every, *pairs]))
    return replace(ablation, what=what, keep=False, tokens=min(ablation.tokens, JOINT_TOKENS))


def _in_doubt(means: xr.Dataset, name: str) -> bool:
    """Smaller than a twentieth of the loss, or not told from 0: then it is looked at more closely."""
    at = means.sel(change=name)
    return float(at.effect - margin(at, "effect")) < 0.05 * float(means.loss)


def _alike(cells: Cells, step: int) -> dict[str, tuple[str, ...]]:
    """Heads that attend as others of the first layer do, with these others and themselves."""
    scores = cells.get(SCORES, step)
    heads = [parse_head(name) for name in scores.restriction.values.tolist()]
    looks = [
        dict(zip(heads, scores[score].values.tolist(), strict=True)) for score in ("previous_token", "current_token")
    ]
    groups = classify.alike(*looks)
    return {head_name(h): tuple(map(head_name, group)) for h, group in groups.items() if len(group) > 1}


def _with_and_without(group: tuple[str, ...], name: str) -> tuple[str, str]:
    return "+".join(group), "+".join(other for other in group if other != name)


def _given_alike(cells: Cells, ablation: AblationPass, joint: xr.Dataset, name: str) -> Estimate | None:
    """The means of one text differ by less than their own errors say: these are kept, and so on the safe side."""
    groups = _alike(cells, ablation.step)
    pair = _with_and_without(groups[name], name) if name in groups else ()
    if not pair or any(change not in joint.change.values for change in pair):
        return None
    whole, rest = (joint.sel(change=change) for change in pair)
    se = float(np.hypot(whole.effect_se, rest.effect_se))
    return Estimate(float(whole.effect - rest.effect), se, float(whole.effect_degrees))


def _completions(cells: Cells, ablation: AblationPass) -> Completions:
    kept, multigram_table = ablation_pass.kept(cells, ablation), model_multigrams.known_multigrams(cells, ablation)
    text = labelled_tokens.text(ablation_pass.rows_of(ablation, cells.inputs))
    token_of = np.full(text.tokens.size, -1)
    token_of[kept.row.values * text.tokens.shape[1] + kept.pos.values] = np.arange(kept.sizes["token"])
    numbers, places = mining.completions(text, as_patterns(multigram_table), cells.inputs.d_vocab)
    inside = token_of[places] >= 0
    return Completions(multigram_table, kept, numbers[inside], token_of[places[inside]])


def _usual(cells: Cells, ablation: AblationPass, completions: Completions) -> np.ndarray:
    """The share of each kind among all tokens; multigrams are those in the table."""
    kept, contiguous = completions.kept, as_patterns(completions.table).contiguous
    of_rows = cells.get(LABELLED_TOKENS, rows=len(ablation_pass.rows_of(ablation, cells.inputs)))
    closing = [of_rows[kind].values[kept.row.values, kept.pos.values] for kind in token_kinds.KINDS[:3]]
    completed = np.zeros((2, kept.sizes["token"]), dtype=bool)
    completed[(~contiguous[completions.numbers]).astype(int), completions.tokens] = True
    return token_kinds.with_none(np.stack([*closing, *completed])).mean(1)


def _multigram_data(completions: Completions) -> dict:
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


def light(types: xr.Dataset) -> xr.Dataset:
    """The table as it is committed: what is told of single multigrams in 32 bits, but for the p-values and the
    false-discovery rates, which decide.
    """
    narrow = {"f": np.dtype(np.float32), "i": np.dtype(np.int32)}
    chosen = [
        n for n, values in types.data_vars.items() if "multigram" in values.dims and n not in ("p", "multigram_q")
    ]
    return types.assign({name: types[name].astype(narrow[types[name].dtype.kind]) for name in chosen})


HEAD_TYPES = Kind(
    "types",
    (7, 2, 2),
    measure,
    splits=("train", "test"),
    plan_fields=(*model_multigrams.PLAN_FIELDS, *SCORES.plan_fields),
    seconds=5.0,
    also=sizes,
    keeps=light,
)
