"""Claim 7: a head of layer 0 and a head of layer 1 come to affect the same tokens.

A head's tokens are the 2% whose loss its removal raises most; `overlap_change` says how two heads' lists are compared.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from ablations import overlap
from ablations.names import parse_head
from experiments.claims.study import Study
from experiments.claims.verdict import Claim, Control, Finding, opposite, verdict
from experiments.heldout.path_overlap import SHARE
from experiments.measurements.variants import SURVIVAL, middle_step
from experiments.results.cells import Cells
from experiments.statistics.halves import balanced_half
from experiments.statistics.intervals import TWO_SIDED
from experiments.statistics.overlap_change import DRAWS, Change, Snapshot, changed, correlation
from experiments.statistics.permutation import maximum_test, p_value, permuted, smallest_detectable

CLAIM = Claim(
    number=7,
    name="coordination",
    statement="a layer-0 and a layer-1 head come to affect the same tokens",
    precondition="-",
    criterion="p < 0.05",
    figure="tokens-in-context",
)
FEWEST = 10  # documents of a half, which errors by document need

Pairs = dict[str, list[tuple[str, str]]]  # of each run: a head of layer 0, a head of layer 1


class Effects(NamedTuple):
    """Effects in one run, on the same held-out tokens at both snapshots."""

    run: str
    heads: list[str]
    effect: Float[np.ndarray, "snapshot head token"]  # early, late: nats that removing the head costs
    clean: Float[np.ndarray, "snapshot token"]
    target: Int[np.ndarray, " token"]
    document: Int[np.ndarray, " token"]

    @property
    def layer(self) -> Int[np.ndarray, " head"]:
        return np.array([parse_head(name)[0] for name in self.heads])


class Halves(NamedTuple):
    """The changes on two halves of the documents, of which the first chooses a pair and the second tests it."""

    choosing: Change
    testing: Change

    @property
    def pair(self) -> tuple[int, int]:
        first, second = np.unravel_index(np.argmax(self.choosing.standardised), self.choosing.value.shape)
        return int(first), int(second)

    @property
    def confirmed(self) -> Bool[np.ndarray, "first second"]:
        """Pairs with p < 0.05, corrected for all pairs, in both halves."""
        both = [maximum_test(half.standardised, half.standardised_null).p < 0.05 for half in self]
        return both[0] & both[1]


class Pooled(NamedTuple):
    """The mean change of the runs' chosen pairs on the testing halves."""

    value: float
    se: float
    p: float
    null: Float[np.ndarray, " draw"]  # of value / se: of the permuted pairs with the largest changes


def find(study: Study) -> Finding:
    return judge([effects_of(study, cells) for cells in study.cells], [cells.run.name for cells in study.judged])


def chosen_pairs(study: Study) -> Pairs:
    """Pairs of heads of every run that come to affect the same tokens in both halves of the documents."""
    return {cells.run.name: pairs(one := effects_of(study, cells), tested(one)) for cells in study.cells}


def pairs(one: Effects, halves: Halves) -> list[tuple[str, str]]:
    first, second = (np.array(one.heads)[one.layer == layer].tolist() for layer in (0, 1))
    return [(first[a], second[b]) for a, b in np.argwhere(halves.confirmed)]


def effects_of(study: Study, cells: Cells) -> Effects:
    early, late = (study.effects(cells, step) for step in (middle_step(cells.run), None))
    names = early.change.values.tolist()
    effect, clean = (np.stack([kept[name].values for kept in (early, late)]) for name in ("effect", "clean"))
    return Effects(cells.run.name, names, effect, clean, early.target.values, early.document.values)


def judge(every: list[Effects], judged: list[str] | None = None) -> Finding:
    """The verdict is of the runs named by `judged` (default: all). Runs with too few documents are left out."""
    used = [one for one in every if len(np.unique(one.document)) >= 2 * FEWEST]
    ours = [one for one in used if judged is None or one.run in judged]
    if not ours:
        return _finding(None, [], {}, "", verdict(testable=False, met=False, opposite=False, control_fired=False))
    of_runs = {one.run: tested(one) for one in used}
    change = pooled([of_runs[one.run] for one in ours])
    interval = (change.value - TWO_SIDED * change.se, change.value + TWO_SIDED * change.se)
    controls = [
        _control("lists of layer 1 shuffled among like tokens", [tested(_shuffled(one)) for one in ours]),
        _control("the early snapshot against itself, on other documents", [_against_itself(one) for one in ours]),
    ]
    word = verdict(
        testable=True,
        met=change.p < 0.05,
        opposite=opposite(interval, 0.0),
        control_fired=any(control.fired for control in controls),
    )
    details = {one.run: _details(one, of_runs[one.run]) for one in used}
    counts = ", ".join(f"{one.run}: {len(np.unique(one.document))} documents, {len(one.target)} tokens" for one in ours)
    return _finding(change, controls, details, f"{len(ours)} seeds ({counts}); in each one pair of heads", word)


def tested(one: Effects) -> Halves:
    """The test on each half of the documents."""
    first = balanced_half(one.document)
    return Halves(*(changed(snapshot(one, 0, half), snapshot(one, 1, half), one.layer) for half in (first, ~first)))


def snapshot(one: Effects, time: int, inside: Bool[np.ndarray, " token"]) -> Snapshot:
    """Lists and strata of some of the tokens. time: 0 early, 1 late."""
    chosen = np.stack([overlap.strongest(effect[inside], SHARE) for effect in one.effect[time]])
    strata = overlap.strata(one.target[inside], one.clean[time][inside])
    return Snapshot(chosen, strata, one.document[inside])


def pooled(of_runs: list[Halves]) -> Pooled:
    """One pair of each run, chosen on other documents, against the runs' pairs with the largest permuted changes."""
    value = np.array([one.testing.value[one.pair] for one in of_runs])
    se = np.array([one.testing.se[one.pair] for one in of_runs])
    sums, squares = np.zeros((2, DRAWS))
    for one in of_runs:
        flat, null = one.testing.null.reshape(DRAWS, -1), one.testing.standardised_null.reshape(DRAWS, -1)
        largest = null.argmax(1)
        sums += flat[np.arange(DRAWS), largest]
        squares += flat.var(0)[largest]
    null, total = sums / np.sqrt(squares), float(np.sqrt((se**2).sum()))
    statistic = float(value.sum()) / total if total else 0.0
    return Pooled(float(value.mean()), total / len(value), p_value(statistic, null), null)


def _shuffled(one: Effects) -> Effects:
    """The effects of layer 1's heads moved among like tokens, at each snapshot."""
    generator, effect = np.random.default_rng(2), one.effect.copy()
    for time in (0, 1):
        index = permuted(generator, overlap.strata(one.target, one.clean[time]))
        effect[time][one.layer == 1] = effect[time][one.layer == 1][:, index]
    return one._replace(effect=effect)


def _against_itself(one: Effects) -> Halves:
    """Each half of the documents is cut in two, and the early snapshot on one part stands for the late one."""
    first, changes = balanced_half(one.document), []
    for half in (first, ~first):
        part = np.zeros_like(half)
        part[half] = balanced_half(one.document[half])
        changes.append(changed(snapshot(one, 0, half & ~part), snapshot(one, 0, part), one.layer))
    return Halves(*changes)


def _control(name: str, of_runs: list[Halves]) -> Control:
    change = pooled(of_runs)
    return Control(name, change.value, change.p, change.p < 0.05)


def _details(one: Effects, halves: Halves) -> dict:
    names = [np.array(one.heads)[one.layer == layer].tolist() for layer in (0, 1)]
    first, second = halves.pair
    alone = pooled([halves])
    everywhere = np.ones(len(one.target), dtype=bool)
    all_heads = np.ones(len(one.heads), dtype=bool)
    overlaps = [correlation(snapshot(one, time, everywhere), all_heads, all_heads)[0] for time in (0, 1)]
    grown = (overlaps[1] - overlaps[0])[np.triu_indices(len(one.heads), 1)]
    across = np.not_equal.outer(one.layer, one.layer)[np.triu_indices(len(one.heads), 1)]
    return {
        "heads": one.heads,
        "overlap, early and late": np.round(overlaps, 4),
        "mean change, pairs across layers": _mean(grown[across]),
        "mean change, pairs within layers": _mean(grown[~across]),
        "chosen pair": [names[0][first], names[1][second]],
        "its change on the testing half": alone.value,
        "se": alone.se,
        "p": alone.p,
        "pairs": [list(pair) for pair in pairs(one, halves)],
    }


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _finding(change: Pooled | None, controls: list[Control], details: dict, units: str, word: str) -> Finding:
    critical = smallest_detectable(change.null).critical * change.se if change else float("nan")
    return Finding(
        claim=CLAIM,
        statistic="correlation within strata of the tokens that two heads matter most for, late minus early, of the "
        "pair chosen on other documents; mean over seeds",
        value=change.value if change else None,
        interval=(change.value - TWO_SIDED * change.se, change.value + TWO_SIDED * change.se) if change else None,
        null=0.0,
        p=change.p if change else None,
        units=units or "no run",
        smallest_detectable=f"a change of {critical:.3f}" if change else "none",
        controls=tuple(controls),
        survives=dict.fromkeys(SURVIVAL, "not applicable"),
        details=details,
        diagnosis=_diagnosis(details) or f"no run has {2 * FEWEST} documents in its held-out text",
        verdict=word,  # type: ignore[arg-type]
    )


def _diagnosis(details: dict) -> str:
    return "; ".join(
        f"{run}: {' and '.join(one['chosen pair'])} {one['its change on the testing half']:+.3f} (se {one['se']:.3f}, "
        f"p = {one['p']:.3f}), {len(one['pairs'])} pairs in both halves, mean change of pairs across layers "
        f"{one['mean change, pairs across layers']:+.4f}, within layers {one['mean change, pairs within layers']:+.4f}"
        for run, one in details.items()
    )
