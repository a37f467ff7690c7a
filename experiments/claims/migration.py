"""Claim 10: particular multigrams move from layer 0 to layer 1.

The multigrams are those of the model at the early snapshot. What a layer does for one of them is the sum over its heads
of the mean effect of removing the head, on the multigram's completions; the same completions count at both snapshots.
Of each multigram and layer: the change, late minus early, less the layer's mean change over multigrams. It moves from
layer 0 to 1 when layer 0's falls and layer 1's rises, both by more than their 95% intervals reach (by document), and
this on each of two halves of the documents: a move seen on one half is confirmed on the other. Moves from 1 to 0 alike.

Multigrams with the same target share completions, so the sign test counts targets: each votes for the direction in
which more of its multigrams move.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import stats

from ablations.names import parse_head
from circuits import multigrams
from experiments.heldout import learned_multigrams
from experiments.heldout.text_multigrams import as_patterns, describe
from experiments.measurements.variants import middle_step
from experiments.results.cells import Cells
from experiments.statistics.halves import balanced_half
from experiments.statistics.moves import Changes, Votes, clearest, votes
from experiments.study.study import Study, pass_of_types
from experiments.study.survival import not_applicable
from experiments.study.verdict import Claim, Control, Finding, Verdict, any_fired, opposite, verdict

CLAIM = Claim(
    number=10,
    name="migration",
    statement="particular multigrams move from layer 0 to layer 1",
    precondition="50 multigrams learned by stage two",
    criterion="more in the claimed direction, p < 0.05, with three shown in full",
    figure="migration",
)
FEWEST_KNOWN, SHOWN = 50, 3  # multigrams of a run; moves that are shown in full
SHUFFLES = 200


class Moving(NamedTuple):
    """Completions of one run's multigrams, with the effect of removing each head at both snapshots."""

    run: str
    heads: list[str]
    effect: Float[np.ndarray, "snapshot head hit"]  # early, late; nats
    number: Int[np.ndarray, " hit"]  # of the multigram
    document: Int[np.ndarray, " hit"]
    half: Bool[np.ndarray, " hit"]  # which half of the documents
    target: Int[np.ndarray, " multigram"]
    texts: list[str]  # each multigram as text

    @property
    def layer(self) -> Int[np.ndarray, " head"]:
        """The layer of each head."""
        return np.array([parse_head(name)[0] for name in self.heads])


def find(study: Study) -> Finding:
    """The multigrams of the early snapshot of every run, and what each head does for them early and late."""
    return judge([moving_of(study, cells) for cells in study.cells], [cells.run.name for cells in study.judged])


def moving_of(study: Study, cells: Cells) -> Moving:
    """What the multigrams that the model has at the early snapshot rest on, then and later."""
    middle = middle_step(cells.run)
    table, early, numbers, tokens = learned_multigrams.completions(cells, pass_of_types(cells, middle))
    known, late = as_patterns(table), study.effects(cells)
    effect = np.stack([kept.effect.values[:, tokens].astype(np.float64) for kept in (early, late)])
    document, half = early.document.values[tokens], balanced_half(early.document.values)[tokens]
    texts = [describe(known, number, cells.inputs) for number in range(len(known.targets))]
    return Moving(cells.run.name, early.change.values.tolist(), effect, numbers, document, half, known.targets, texts)


def judge(every: list[Moving], judged: list[str] | None = None) -> Finding:
    """The verdict is of the runs named by `judged` (default: all) with at least 50 multigrams at the early snapshot."""
    used = [moving for moving in every if len(moving.target) >= FEWEST_KNOWN]
    ours = [moving for moving in used if judged is None or moving.run in judged]
    by_run = {moving.run: changes(moving) for moving in used}
    by_ours = [votes(by_run[moving.run], moving.target) for moving in ours]
    pooled = Votes(*np.sum(by_ours, axis=0)) if ours else Votes(0, 0)
    controls = [_shuffled([(moving, by_run[moving.run]) for moving in ours])] if ours else []
    shown = {moving.run: _shown(moving, by_run[moving.run]) for moving in ours}
    word = verdict(
        testable=bool(ours),
        met=pooled.p < 0.05 and sum(map(len, shown.values())) >= SHOWN,
        opposite=opposite(pooled.interval, 0.5),
        control_fired=any_fired(controls),
    )
    details: dict = {moving.run: _details(moving, by_run[moving.run]) for moving in used}
    details["shown in full"] = shown
    return _finding(pooled if ours else None, ours, every, controls, details, word)


def changes(moving: Moving) -> Changes:
    """The changes on each half of the documents."""
    value, se, degrees = np.full((3, 2, 2, len(moving.target)), np.nan)
    rows = np.stack([(moving.effect[1] - moving.effect[0])[moving.layer == layer].sum(0) for layer in (0, 1)])
    for half in (0, 1):
        inside = moving.half == bool(half)
        number, document = moving.number[inside], moving.document[inside]
        value[half], se[half], _ = multigrams.learned(rows[:, inside], number, document, len(moving.target))
        degrees[half] = multigrams.degrees(number, document, len(moving.target))
    both = np.isfinite(se).all((0, 1))
    return Changes(value - (value[:, :, both].mean(2, keepdims=True) if both.any() else 0.0), se, degrees)


def effects_by_head(
    moving: Moving, number: int
) -> tuple[Float[np.ndarray, "snapshot row"], Float[np.ndarray, "snapshot row"], float]:
    """Mean effects on one multigram, their errors, by head and then by layer, on all documents, and the errors' degrees
    of freedom.
    """
    inside = moving.number == number
    nothing = np.zeros(inside.sum(), dtype=np.int64)
    mean, se = np.empty((2, 2, len(moving.heads) + 2))
    for time in (0, 1):
        effect = moving.effect[time][:, inside]
        rows = np.concatenate([effect, *(effect[moving.layer == layer].sum(0, keepdims=True) for layer in (0, 1))])
        effects, error, _ = multigrams.learned(rows, nothing, moving.document[inside], 1)
        mean[time], se[time] = effects[:, 0], error[:, 0]
    return mean, se, float(multigrams.degrees(nothing, moving.document[inside], 1)[0])


def _shuffled(runs: list[tuple[Moving, Changes]]) -> Control:
    """Layer 1's changes are those of other multigrams: moves that the two layers' spreads alone would give."""
    generator, sums = np.random.default_rng(0), np.zeros(2)
    for _ in range(SHUFFLES):
        for moving, changes in runs:
            places = np.flatnonzero(changes.testable)
            index = generator.permutation(places)
            parts = [np.array(part) for part in np.broadcast_arrays(*changes)]
            for part in parts:
                part[:, 1, places] = part[:, 1, index]
            sums += votes(Changes(*parts), moving.target)
    mean = Votes(*np.rint(sums / SHUFFLES).astype(int).tolist())
    return Control(f"layers paired at random (mean of {SHUFFLES})", mean.share, mean.p, mean.p < 0.05)


def _shown(moving: Moving, changes: Changes) -> list[dict]:
    """The clearest moves in full: early and late effects with errors, by head and by layer."""
    rows = []
    for number in clearest(changes, moving.target)[:SHOWN]:
        mean, se, degrees = effects_by_head(moving, number)
        names = [*moving.heads, "layer 0", "layer 1"]
        inside = moving.number == number
        rows.append(
            {
                "multigram": moving.texts[number],
                "completions": int(inside.sum()),
                "documents": len(np.unique(moving.document[inside])),
                "change less the layer's mean, by half and layer": np.round(changes.value[:, :, number], 4),
                "degrees of freedom of the effects": round(degrees, 1),
                "its error": np.round(changes.se[:, :, number], 4),
                "effect": {
                    name: {"early": mean[0, row], "late": mean[1, row], "se early": se[0, row], "se late": se[1, row]}
                    for row, name in enumerate(names)
                },
            }
        )
    return rows


def _details(moving: Moving, changes: Changes) -> dict:
    own = votes(changes, moving.target)
    return {
        "multigrams at the early snapshot": len(moving.target),
        "with 20 completions on each half": int(changes.testable.sum()),
        "moves from 0 to 1": int(changes.moved(0).sum()),
        "moves from 1 to 0": int(changes.moved(1).sum()),
        "targets from 0 to 1": own.claimed,
        "targets from 1 to 0": own.other,
        "p": own.p,
        "moved from 0 to 1": [moving.texts[number] for number in clearest(changes, moving.target)],
        "moved from 1 to 0": [moving.texts[number] for number in np.flatnonzero(changes.moved(1))],
    }


def _finding(
    pooled: Votes | None, ours: list[Moving], every: list[Moving], controls: list[Control], details: dict, word: Verdict
) -> Finding:
    known = "; ".join(f"{moving.run} has {len(moving.target)} multigrams at the early snapshot" for moving in every)
    total = sum(pooled) if pooled else 0
    needed = next((k for k in range(total + 1) if stats.binom.sf(k - 1, total, 0.5) < 0.05), None)
    return Finding(
        claim=CLAIM,
        statistic="share of targets whose multigrams move from layer 0 to 1, of those that move either way",
        value=pooled.share if pooled and total else None,
        interval=pooled.interval if pooled else None,
        null=0.5,
        p=pooled.p if pooled else None,
        units=f"{total} targets with confirmed moves of {len(ours)} seeds "
        f"({', '.join(moving.run for moving in ours) or 'none'})",
        smallest_detectable="none" if needed is None else f"{needed} of {total} targets in the claimed direction",
        controls=tuple(controls),
        survives=not_applicable(),
        details=details,
        diagnosis=_diagnosis(known, details),
        verdict=word,
    )


def _diagnosis(known: str, details: dict) -> str:
    moves = [
        f"{run}: {own['moves from 0 to 1']} multigrams move from layer 0 to 1 and {own['moves from 1 to 0']} from 1 to "
        f"0, of {own['with 20 completions on each half']} with enough completions"
        for run, own in details.items()
        if run != "shown in full"
    ]
    return "; ".join([known, *moves])
