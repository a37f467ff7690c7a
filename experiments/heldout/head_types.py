"""What each head of a run is at a checkpoint, with the evidence: one pass over held-out text, and the run's multigrams.

Numbers of multigrams depend on how often they are seen. So beside the number that a head has learned stand the number
to be expected among equally many of their completions (200 of those among the 5% of tokens that it matters most for),
and the number seen among all of these with a lower bound of those unseen (`circuits.rarefaction`).
"""

import contextlib
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from itertools import chain

import numpy as np
import xarray as xr

from ablations.effects import Estimate
from ablations.names import parse_head
from ablations.not_measurable import NotMeasurable
from circuits import classify, token_kinds
from circuits.classify import Evidence
from experiments.heldout import ablation_pass, learned_multigrams, model_multigrams, type_passes
from experiments.heldout.ablation_pass import AblationPass
from experiments.heldout.labelled_tokens import LABELLED_TOKENS
from experiments.heldout.model_multigrams import AFFECTED_KINDS, MODEL_MULTIGRAMS
from experiments.heldout.text_multigrams import TEXT_MULTIGRAMS, sizes
from experiments.jobs import runner
from experiments.jobs.job import Job
from experiments.measurements.offsets import OFFSETS
from experiments.measurements.scores import SCORES
from experiments.results.cells import Cells
from experiments.results.inputs import Inputs
from experiments.results.kind import Kind, Parameters

ATTENTION = {
    "previous_token": "attention to the token before",
    "current_token": "attention to the token itself",
    "prefix_matching": "prefix-matching score (random tokens that repeat)",
}
ENDS = ("", "_se", "_degrees")  # of the names of a mean, its error, and this error's degrees of freedom
TOKENS = 500_000  # of held-out text, or all where there are fewer


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
    passes = (type_passes.joint(cells, ablation), type_passes.to_itself(ablation))
    then = [*_of_model(cells, ablation), *chain.from_iterable(ablation_pass.missing(cells, each) for each in passes)]
    runner.run(then, executor, cells.run.name)


def missing(cells: Cells, ablation: AblationPass) -> list[Job]:
    """What `compute` will do, as far as it is known before; nothing where `table` is there."""
    return [] if known(cells, ablation) is not None else [*_of_text(cells, ablation), *_of_model(cells, ablation)]


def _of_text(cells: Cells, ablation: AblationPass) -> list[Job]:
    """The jobs that need no other."""
    rows = len(ablation_pass.rows_of(ablation, cells.inputs))
    passes = (ablation, type_passes.direct(cells, ablation))
    jobs = chain.from_iterable(ablation_pass.missing(cells, each) for each in passes)
    return [*jobs, *cells.missing(TEXT_MULTIGRAMS), *cells.missing(LABELLED_TOKENS, rows=rows)]


def _of_model(cells: Cells, ablation: AblationPass) -> list[Job]:
    """The jobs that need those of the text."""
    record, step, direct = ablation.record(), ablation.step, type_passes.direct(cells, ablation).record()
    of_heads = (
        cells.missing(AFFECTED_KINDS, step, ablation=direct, restriction=type_passes.word(h)) for h in ablation.what
    )
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

    By head (`restriction`): type, the first of its labels; labels, all of them; why; effect (mean ablation, nats per
    token), direct (the same of its path to the output alone), previous_token, current_token, prefix_matching (each with
    _se and _degrees); keys (of its paths into keys of the next layer, 0 in the last); kept (share of its effect that
    is left where it attends to the token itself alone); back [offset] (attention so far back, on random tokens);
    affected [kind], the share of each kind among the 40 tokens that its direct path matters most for; learned [sort],
    n-grams and skip n-grams that it has learned: multigrams of the model on whose completions removing it costs
    something, at a false-discovery rate of 5% within the head; rarefied, with_unseen.
    Of all tokens: usual [kind]; multigrams [sort] of the model that have 20 completions. By multigram: all of
    `model_multigrams.measure_known`, and multigram_effect, multigram_se, multigram_q [restriction, multigram]; NaN
    where all completions are of one document. rarefied is NaN where there are fewer than 200 completions.
    """
    asked = ablation_pass.of_record(ablation, step)
    completions = learned_multigrams.completions(cells, asked)
    joint = ablation_pass.means(cells, type_passes.joint(cells, asked))
    found, groups = _of_heads(cells, asked, joint), type_passes.alike(cells, asked.step)
    types = []
    for name in found.restriction.values.tolist():
        given = _given_alike(groups, joint, name)
        types.append(classify.head_type(parse_head(name), _evidence(found.sel(restriction=name), given)))
    texts = {"type": [t.label for t in types], "labels": [", ".join(t.labels) for t in types]}
    texts["why"] = [t.why for t in types]
    return found.assign(
        learned_multigrams.data(completions)
        | {name: ("restriction", values) for name, values in texts.items()}
        | {"usual": ("kind", learned_multigrams.usual(cells, asked, completions))}
    ).assign_coords(sort=["n-gram", "skip n-gram"])


def _of_heads(cells: Cells, asked: AblationPass, joint: xr.Dataset) -> xr.Dataset:
    """All that types rest on, by head, but for what heads that attend alike do together."""
    names, direct = list(asked.what), type_passes.direct(cells, asked)
    words = [type_passes.word(name) for name in names]
    means, directly = ablation_pass.means(cells, asked), ablation_pass.means(cells, direct).sel(change=words)
    to_itself = ablation_pass.means(cells, type_passes.to_itself(asked))
    scores, back = (cells.get(kind, asked.step).sel(restriction=names) for kind in (SCORES, OFFSETS))
    kinds = [model_multigrams.affected_kinds(cells, direct, path).share.values for path in words]
    data: dict = {"keys": _through_keys(cells, joint, names), "kept": _kept(to_itself, joint)}
    for end in ENDS:
        data |= {f"effect{end}": means[f"effect{end}"].values, f"direct{end}": directly[f"effect{end}"].values}
        data |= {f"{score}{end}": scores[f"{score}{end}"].values for score in ATTENTION}
    by_head: dict = {name: ("restriction", values) for name, values in data.items()}
    by_head |= {"affected": (("restriction", "kind"), np.stack(kinds)), "all_heads": ((), joint.effect.values[0])}
    by_head["back"] = (("restriction", "offset"), back.back.values)
    coords = {"restriction": names, "kind": [*token_kinds.KINDS, "none"], "offset": back.offset.values}
    return xr.Dataset(by_head, coords, {name: means.attrs[name] for name in ("tokens", "documents")})


def _evidence(at: xr.Dataset, given_alike: Estimate | None) -> Evidence:
    """What is known of one head, as the rules take it."""
    effect, direct = (Estimate(*(float(at[f"{name}{end}"]) for end in ENDS)) for name in ("effect", "direct"))
    affected = dict(zip(token_kinds.KINDS, at.affected.values[:-1].tolist(), strict=True))
    numbers = {name: float(at[name]) for name in ("kept", "keys", "all_heads")}
    return Evidence(
        effect, tuple(at.back.values.tolist()), direct=direct, affected=affected, given_alike=given_alike, **numbers
    )


def _through_keys(cells: Cells, joint: xr.Dataset, names: Sequence[str]) -> np.ndarray:
    """The effects of cutting these paths, by head."""
    cut = [type_passes.through_keys(cells, name) for name in names]
    return np.array([float(joint.effect.sel(change=paths)) if paths else 0.0 for paths in cut])


def _kept(to_itself: xr.Dataset, joint: xr.Dataset) -> np.ndarray:
    """The share of each head's effect, on the same text, that is left where it attends to the token itself alone."""
    removed, changed = joint.effect.sel(change=to_itself.change).values, to_itself.effect.values
    return np.divide(removed - changed, removed, out=np.zeros_like(removed), where=removed != 0)


def _given_alike(groups: Mapping[str, tuple[str, ...]], joint: xr.Dataset, name: str) -> Estimate | None:
    """The means of one text differ by less than their own errors say: these are kept, and so on the safe side."""
    pair = type_passes.with_and_without(groups[name], name) if name in groups else ()
    if not pair or any(change not in joint.change.values for change in pair):
        return None
    whole, rest = (joint.sel(change=change) for change in pair)
    se = float(np.hypot(whole.effect_se, rest.effect_se))
    return Estimate(float(whole.effect - rest.effect), se, float(whole.effect_degrees))


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
    (9, 2, 2),
    measure,
    splits=("train", "test"),
    plan_fields=(*model_multigrams.PLAN_FIELDS, *SCORES.plan_fields),
    seconds=5.0,
    also=sizes,
    keeps=light,
)
