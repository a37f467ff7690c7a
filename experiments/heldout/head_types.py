"""What each head of a run is at a checkpoint, with the evidence: one pass over held-out text, and the run's multigrams.

Numbers of multigrams depend on how often they are seen. So beside the number that a head has learned stand the number
to be expected among equally many of their completions (200 of those among the 5% of tokens that it matters most for),
and the number seen among all of these with a lower bound of those unseen (`circuits.rarefaction`).
"""

import contextlib
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xarray as xr
from scipy import stats

from ablations.effects import Estimate
from ablations.names import head_name, parse_head
from circuits import classify, mining, multigrams, rarefaction, token_kinds
from circuits.classify import Evidence
from experiments.heldout import ablation_pass, committed_types, labelled_tokens, model_multigrams
from experiments.heldout.ablation_pass import Survey
from experiments.jobs import runner
from experiments.jobs.job import Job
from experiments.results.cells import Cells
from experiments.storage import store

ATTENTION = {
    "previous_token": "attention to the token before",
    "current_token": "attention to the token itself",
    "prefix_matching": "attention to what followed its token before, random tokens that repeat",
}
STRONG, RAREFIED_TO = 0.05, 200
TOKENS = 500_000  # of held-out text, or all where there are fewer
JOINT_TOKENS = 50_000  # of text on which sets of heads are removed
VERSION = 1  # raised by hand when rules change


class Completions(NamedTuple):
    """Where the multigrams of a model are completed among the tokens of a pass."""

    table: xr.Dataset  # of `known_multigrams`
    kept: xr.Dataset  # of `survey`
    numbers: np.ndarray  # of the multigram
    tokens: np.ndarray  # of the pass


def asked(found: Cells, step: int, tokens: int | None = None) -> Survey:
    """The pass over the text that types need; raises ValueError for what the run or its text does not have."""
    return ablation_pass.of_heads(
        found.on, step, min(TOKENS, ablation_pass.available(found.on)) if tokens is None else tokens
    )


def compute(found: Cells, wanted: Survey, executor: Executor) -> None:
    """Everything that `table` needs and that takes long."""
    place, rows = (found.folder, found.run.folder, found.plan), len(ablation_pass.surveyed(wanted, found.on))
    first = ablation_pass.missing(found, wanted)
    first.append(Job(labelled_tokens.work_mined, place, 20.0, "multigrams of the text"))
    first.append(Job(labelled_tokens.work_kinds, (*place, rows), 10.0, f"kinds of tokens, {rows} rows"))
    learned = "multigrams that {} has learned at step " + str(wanted.step)
    then = [
        Job(model_multigrams.work, (*place, wanted, head), 3.0 if head else 10.0, learned.format(head or "the model"))
        for head in (*wanted.what, None)
    ]
    if store.read(found.folder, _key(found, wanted)) is None:
        runner.run(first, executor, found.run.name)
        runner.run([*then, *ablation_pass.missing(found, _joint(found, wanted))], executor, found.run.name)


def table(found: Cells, wanted: Survey) -> xr.Dataset:
    """Types at a checkpoint.

    By head (`restriction`): type, why; effect, effect_se (mean ablation, nats per token); previous_token,
    current_token, prefix_matching (with _se); affected [kind], the share of each kind among the 40 tokens that it
    matters most for; learned [sort], n-grams and skip n-grams that it has learned: multigrams of the model on whose
    completions removing it costs something, at a false-discovery rate of 5% within the head; rarefied, with_unseen.
    Of all tokens: usual [kind]; multigrams [sort] of the model that have 20 completions. By multigram: all of
    `model_multigrams.table`, and multigram_effect, multigram_se, multigram_q [restriction, multigram]; NaN where all
    completions are of one document. rarefied is NaN where there are fewer than 200 completions.
    """
    there = known(found, wanted)
    return store.cached(found.folder, _key(found, wanted), lambda: _measure(found, wanted)) if there is None else there


def known(found: Cells, wanted: Survey) -> xr.Dataset | None:
    """`table` where it was computed, or committed and these are read; else None."""
    stored = store.read(found.folder, _key(found, wanted))
    return committed_types.read(_key(found, wanted)) if stored is None and found.committed else stored


def commit(found: Cells, wanted: Survey) -> Path:
    """Writes `table` beside the bundled runs, where `Cells(committed=True)` finds it."""
    return committed_types.write(_key(found, wanted), table(replace(found, committed=False), wanted))


def labels(found: Cells, step: int) -> dict[str, str]:
    """Types by head, where `table` is known over the default text; else nothing."""
    with contextlib.suppress(ValueError):  # where there is no text for it
        stored = known(found, asked(found, step))
        if stored is not None:
            return dict(zip(stored.restriction.values.tolist(), stored.type.values.tolist(), strict=True))
    return {}


def _key(found: Cells, wanted: Survey) -> dict:
    return model_multigrams.key(found, wanted, "types") | {"rules": VERSION}


def _measure(found: Cells, wanted: Survey) -> xr.Dataset:
    scores, means, known = (
        found.cell("scores", wanted.step),
        ablation_pass.means(found, wanted),
        _completions(found, wanted),
    )
    names, joint = [str(name) for name in means.change.values], ablation_pass.means(found, _joint(found, wanted))
    every = float(joint.effect[0])
    shares = np.stack([model_multigrams.affected_kinds(found, wanted, name).share.values for name in names])
    types = []
    for number, name in enumerate(names):
        effect = Estimate(float(means.effect[number]), float(means.effect_se[number]))
        looks = {score: float(scores[score].sel(restriction=name)) for score in ATTENTION}
        of_kind = dict(zip(token_kinds.KINDS, shares[number, :-1].tolist(), strict=True))
        given = _given_alike(found, wanted, joint, name)
        evidence = Evidence(effect, affected=of_kind, all_heads=every, given_alike=given, **looks)
        types.append(classify.head_type(parse_head(name), evidence))
    data = _multigram_data(known)
    data |= {"type": ("restriction", [t.label for t in types]), "why": ("restriction", [t.why for t in types])}
    data |= {name: ("restriction", means[name].values) for name in ("effect", "effect_se")}
    for score in ATTENTION:
        data |= {name: ("restriction", scores[name].values) for name in (score, f"{score}_se")}
    data["all_heads"] = ((), np.array(every))
    data |= {"affected": (("restriction", "kind"), shares), "usual": ("kind", _usual(found, wanted, known))}
    coords = {"restriction": names, "kind": [*token_kinds.KINDS, "none"], "sort": ["n-gram", "skip n-gram"]}
    return xr.Dataset(data, coords, {"tokens": means.attrs["tokens"], "documents": means.attrs["documents"]})


def _joint(found: Cells, wanted: Survey) -> Survey:
    """Removing all heads at once; and what tells whether heads without effect stand for others that attend alike."""
    means, groups = ablation_pass.means(found, wanted), _alike(found, wanted.step)
    idle = [name for name in groups if float(means.effect.sel(change=name)) <= 0 or _in_doubt(means, name)]
    pairs = [pair for name in idle for pair in _with_and_without(groups[name], name)]
    what = tuple(dict.fromkeys(["+".join(wanted.what), *pairs]))
    return replace(wanted, what=what, keep=False, tokens=min(wanted.tokens, JOINT_TOKENS))


def _in_doubt(means: xr.Dataset, name: str) -> bool:
    """Smaller than a twentieth of the loss, or not told from 0: then it is looked at more closely."""
    at = means.sel(change=name)
    return float(at.effect) - classify.TWO_SIDED * float(at.effect_se) < 0.05 * float(means.loss)


def _alike(found: Cells, step: int) -> dict[str, tuple[str, ...]]:
    """Heads that attend as others of the first layer do, with these others and themselves."""
    scores = found.cell("scores", step)
    heads = [parse_head(name) for name in scores.restriction.values.tolist()]
    looks = [
        dict(zip(heads, scores[score].values.tolist(), strict=True)) for score in ("previous_token", "current_token")
    ]
    groups = classify.alike(*looks)
    return {head_name(h): tuple(map(head_name, group)) for h, group in groups.items() if len(group) > 1}


def _with_and_without(group: tuple[str, ...], name: str) -> tuple[str, str]:
    return "+".join(group), "+".join(other for other in group if other != name)


def _given_alike(found: Cells, wanted: Survey, joint: xr.Dataset, name: str) -> Estimate | None:
    """The means of one text differ by less than their own errors say: these are kept, and so on the safe side."""
    groups = _alike(found, wanted.step)
    pair = _with_and_without(groups[name], name) if name in groups else ()
    if not pair or any(change not in joint.change.values for change in pair):
        return None
    whole, rest = (joint.sel(change=change) for change in pair)
    se = float(np.hypot(whole.effect_se, rest.effect_se))
    return Estimate(float(whole.effect - rest.effect), se)


def _completions(found: Cells, wanted: Survey) -> Completions:
    kept, known = ablation_pass.kept(found, wanted), model_multigrams.table(found, wanted)
    text = labelled_tokens.text(ablation_pass.surveyed(wanted, found.on))
    token_of = np.full(text.tokens.size, -1)
    token_of[kept.row.values * text.tokens.shape[1] + kept.pos.values] = np.arange(kept.sizes["token"])
    vocabulary = found.run.config["model"]["d_vocab"]
    numbers, places = mining.completions(text, labelled_tokens.as_patterns(known), vocabulary)
    inside = token_of[places] >= 0
    return Completions(known, kept, numbers[inside], token_of[places[inside]])


def _usual(found: Cells, wanted: Survey, known: Completions) -> np.ndarray:
    """The share of each kind among all tokens; multigrams are those in the table."""
    kept, contiguous = known.kept, labelled_tokens.as_patterns(known.table).contiguous
    of_rows = labelled_tokens.kinds(found, len(ablation_pass.surveyed(wanted, found.on)))
    closing = [of_rows[kind].values[kept.row.values, kept.pos.values] for kind in token_kinds.KINDS[:3]]
    completed = np.zeros((2, kept.sizes["token"]), dtype=bool)
    completed[(~contiguous[known.numbers]).astype(int), known.tokens] = True
    return token_kinds.with_none(np.stack([*closing, *completed])).mean(1)


def _multigram_data(known: Completions) -> dict:
    """Effects on every multigram of the model, and how many of them each head has learned."""
    found, count = labelled_tokens.as_patterns(known.table), known.table.sizes["pattern"]
    effect = known.kept.effect.values[:, known.tokens].astype(np.float64)
    mean, se, p = multigrams.learned(effect, known.numbers, known.kept.document.values[known.tokens], count)
    q, testable = np.full(p.shape, np.nan), np.isfinite(p).all(0)
    q[:, testable] = stats.false_discovery_control(p[:, testable], axis=1)
    has = (q <= multigrams.RATE) & (mean > 0)
    sorts = np.stack([found.contiguous, ~found.contiguous])
    data: dict = {name: (("multigram", *values.dims[1:]), values.values) for name, values in known.table.items()}
    named = {"multigram_effect": mean, "multigram_se": se, "multigram_q": q}
    data |= {name: (("restriction", "multigram"), values) for name, values in named.items()}
    data["learned"] = (("restriction", "sort"), np.stack([(has & sort).sum(1) for sort in sorts], 1))
    data["multigrams"] = ("sort", sorts.sum(1))
    strong = effect >= np.quantile(known.kept.effect.values, 1 - STRONG, axis=1)[:, None]
    counted = np.stack([np.bincount(known.numbers[row], minlength=count) for row in strong]) * has
    return data | {
        "rarefied": ("restriction", np.array([_rarefied(row) for row in counted])),
        "with_unseen": ("restriction", np.array([rarefaction.with_unseen(row) for row in counted])),
    }


def _rarefied(counts: np.ndarray) -> float:
    return rarefaction.rarefied(counts, RAREFIED_TO) if counts.sum() >= RAREFIED_TO else float("nan")
