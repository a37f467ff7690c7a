"""Claim 7: a head of layer 0 and a head of layer 1 come to affect the same tokens.

A head's tokens are the 2% whose loss its removal raises most; `overlap_change` says how two heads' lists are compared.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from ablations import overlap
from ablations.names import parse_head
from experiments.heldout.path_overlap import SHARE
from experiments.measurements.variants import middle_step
from experiments.results.cells import Cells
from experiments.statistics.chosen_pair import Halves, MeanChange, mean_change
from experiments.statistics.halves import balanced_half
from experiments.statistics.intervals import bounds
from experiments.statistics.overlap_change import Snapshot, changed, correlation
from experiments.statistics.permutation import permuted, smallest_detectable
from experiments.study.study import Study
from experiments.study.survival import not_applicable
from experiments.study.two_layers import need_two_layers
from experiments.study.verdict import Claim, Control, Finding, Verdict, any_fired, opposite, verdict

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
        """The layer of each head."""
        return np.array([parse_head(name)[0] for name in self.heads])


def find(study: Study) -> Finding:
    """The effects of removing each head, at mid-training and at the end of every run."""
    return judge([effects_of(study, cells) for cells in study.cells], [cells.run.name for cells in study.judged])


def chosen_pairs(study: Study) -> Pairs:
    """Pairs of heads of every run that come to affect the same tokens in both halves of the documents."""
    return {cells.run.name: pairs(effects := effects_of(study, cells), tested(effects)) for cells in study.cells}


def pairs(effects: Effects, halves: Halves) -> list[tuple[str, str]]:
    """The names of the pairs that both halves confirm."""
    first, second = (np.array(effects.heads)[effects.layer == layer].tolist() for layer in (0, 1))
    return [(first[a], second[b]) for a, b in np.argwhere(halves.confirmed)]


def effects_of(study: Study, cells: Cells) -> Effects:
    """What removing each head of a run costs, early and late; raises NotMeasurable for a run with one layer."""
    need_two_layers(cells)
    early, late = (study.effects(cells, step) for step in (middle_step(cells.run), None))
    names = early.change.values.tolist()
    effect, clean = (np.stack([kept[name].values for kept in (early, late)]) for name in ("effect", "clean"))
    return Effects(cells.run.name, names, effect, clean, early.target.values, early.document.values)


def judge(every: list[Effects], judged: list[str] | None = None) -> Finding:
    """The verdict is of the runs named by `judged` (default: all). Runs with too few documents are left out."""
    used = [effects for effects in every if len(np.unique(effects.document)) >= 2 * FEWEST]
    ours = [effects for effects in used if judged is None or effects.run in judged]
    if not ours:
        return _finding(None, [], {}, "", "not testable")
    halves = {effects.run: tested(effects) for effects in used}
    change = mean_change([halves[effects.run] for effects in ours])
    controls = [
        _control("lists of layer 1 shuffled among like tokens", [tested(_shuffled(effects)) for effects in ours]),
        _control("the early snapshot against itself, on other documents", [_against_itself(each) for each in ours]),
    ]
    word = verdict(
        testable=True,
        met=change.p < 0.05,
        opposite=opposite(bounds(change.value, change.se, change.degrees), 0.0),
        control_fired=any_fired(controls),
    )
    details = {effects.run: _details(effects, halves[effects.run]) for effects in used}
    return _finding(change, controls, details, _units(ours), word)


def tested(effects: Effects) -> Halves:
    """The change of overlap on each half of the documents."""
    first = balanced_half(effects.document)
    return Halves(
        *(changed(snapshot(effects, 0, half), snapshot(effects, 1, half), effects.layer) for half in (first, ~first))
    )


def snapshot(effects: Effects, time: int, inside: Bool[np.ndarray, " token"]) -> Snapshot:
    """Lists and strata of some of the tokens. time: 0 early, 1 late."""
    chosen = np.stack([overlap.strongest(effect[inside], SHARE) for effect in effects.effect[time]])
    strata = overlap.strata(effects.target[inside], effects.clean[time][inside])
    return Snapshot(chosen, strata, effects.document[inside])


def _shuffled(effects: Effects) -> Effects:
    """The effects of layer 1's heads moved among like tokens, at each snapshot."""
    generator, effect = np.random.default_rng(2), effects.effect.copy()
    for time in (0, 1):
        index = permuted(generator, overlap.strata(effects.target, effects.clean[time]))
        effect[time][effects.layer == 1] = effect[time][effects.layer == 1][:, index]
    return effects._replace(effect=effect)


def _against_itself(effects: Effects) -> Halves:
    """Each half of the documents is cut in two, and the early snapshot on one part stands for the late one."""
    first, changes = balanced_half(effects.document), []
    for half in (first, ~first):
        part = np.zeros_like(half)
        part[half] = balanced_half(effects.document[half])
        changes.append(changed(snapshot(effects, 0, half & ~part), snapshot(effects, 0, part), effects.layer))
    return Halves(*changes)


def _control(name: str, runs: list[Halves]) -> Control:
    change = mean_change(runs)
    return Control(name, change.value, change.p, change.p < 0.05)


def _units(ours: list[Effects]) -> str:
    counts = ", ".join(
        f"{effects.run}: {len(np.unique(effects.document))} documents, {len(effects.target)} tokens" for effects in ours
    )
    return f"{len(ours)} seeds ({counts}); in each one pair of heads"


def _details(effects: Effects, halves: Halves) -> dict:
    names = [np.array(effects.heads)[effects.layer == layer].tolist() for layer in (0, 1)]
    first, second = halves.pair
    alone = mean_change([halves])
    everywhere = np.ones(len(effects.target), dtype=bool)
    all_heads = np.ones(len(effects.heads), dtype=bool)
    overlaps = [correlation(snapshot(effects, time, everywhere), all_heads, all_heads)[0] for time in (0, 1)]
    grown = (overlaps[1] - overlaps[0])[np.triu_indices(len(effects.heads), 1)]
    across = np.not_equal.outer(effects.layer, effects.layer)[np.triu_indices(len(effects.heads), 1)]
    return {
        "heads": effects.heads,
        "overlap, early and late": np.round(overlaps, 4),
        "mean change, pairs across layers": _mean(grown[across]),
        "mean change, pairs within layers": _mean(grown[~across]),
        "chosen pair": [names[0][first], names[1][second]],
        "its change on the testing half": alone.value,
        "se": alone.se,
        "p": alone.p,
        "pairs": [list(pair) for pair in pairs(effects, halves)],
    }


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _finding(change: MeanChange | None, controls: list[Control], details: dict, units: str, word: Verdict) -> Finding:
    critical = smallest_detectable(change.null).critical * change.se if change else float("nan")
    return Finding(
        claim=CLAIM,
        statistic="correlation within strata of the tokens that two heads matter most for, late minus early, of the "
        "pair chosen on other documents; mean over seeds",
        value=change.value if change else None,
        interval=bounds(change.value, change.se, change.degrees) if change else None,
        null=0.0,
        p=change.p if change else None,
        units=units or "no run",
        smallest_detectable=f"a change of {critical:.3f}" if change else "none",
        controls=tuple(controls),
        survives=not_applicable(),
        details=details,
        diagnosis=_diagnosis(details) or f"no run has {2 * FEWEST} documents in its held-out text",
        verdict=word,
    )


def _diagnosis(details: dict) -> str:
    return "; ".join(
        f"{run}: {' and '.join(own['chosen pair'])} {own['its change on the testing half']:+.3f} (se {own['se']:.3f}, "
        f"p = {own['p']:.3f}), {len(own['pairs'])} pairs in both halves, mean change of pairs across layers "
        f"{own['mean change, pairs across layers']:+.4f}, within layers {own['mean change, pairs within layers']:+.4f}"
        for run, own in details.items()
    )
