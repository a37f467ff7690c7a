"""Claim 9: heads that come to work together come to write to and read from the same subspace.

Of each pair of a layer-0 and a layer-1 head and each input (queries, keys, values): the composition score, late minus
early. (The random baseline depends on shapes alone, so that it cancels.) Per run and input the changes of all pairs are
standardised: "against all pairs". The statistic is the mean over the pairs at hand, then over runs, of the input where
it is largest. Its null permutes the heads of each layer, pairs with them, and takes the same maximum.
"""

import contextlib
from typing import NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Float

from ablations.not_measurable import NotMeasurable
from experiments.claims import coordination, nested_brackets
from experiments.claims.coordination import Pairs
from experiments.measurements.composition import COMPOSITION
from experiments.measurements.variants import middle_step
from experiments.results.cells import Cells
from experiments.statistics.permuted_pairs import PairTest, pair_test, standardised
from experiments.study.study import Study
from experiments.study.survival import not_applicable
from experiments.study.two_layers import need_two_layers
from experiments.study.verdict import Claim, Control, Finding, Verdict, any_fired, opposite, verdict

CLAIM = Claim(
    number=9,
    name="composition",
    statement="those heads come to write to and read from the same subspace",
    precondition="a pair from 7 or 8",
    criterion="above the 95th percentile of the maximum under permuted pairs",
    figure="compositions",
)


class Scores(NamedTuple):
    """The composition scores of one run, minus what random matrices give."""

    run: str
    first: list[str]  # heads of layer 0, which write
    second: list[str]  # heads of layer 1, which read
    vias: list[str]
    early: Float[np.ndarray, "first second via"]
    late: Float[np.ndarray, "first second via"]
    untrained: Float[np.ndarray, "first second via"] | None = None  # of step 0, where the run has it


def find(study: Study, pairs: Pairs | None = None) -> Finding:
    """The changes of composition of some pairs of each run, by its name (default: those of claim 7 and of claim 8)."""
    every = [scores_of(cells) for cells in study.cells]
    chosen = chosen_pairs(study) if pairs is None else pairs
    return judge(every, chosen, [cells.run.name for cells in study.judged])


def chosen_pairs(study: Study) -> Pairs:
    """Pairs that come to affect the same tokens, and the path that nested brackets come to need."""
    overlapping, brackets = coordination.chosen_pairs(study), {}
    with contextlib.suppress(NotMeasurable):  # where the text has no nested brackets
        brackets = nested_brackets.chosen_pairs(study)
    return {run: sorted({*pairs, *brackets.get(run, [])}) for run, pairs in overlapping.items()}


def scores_of(cells: Cells) -> Scores:
    """The scores of all pairs of a layer-0 and a layer-1 head; raises NotMeasurable for a run with one layer."""
    need_two_layers(cells)
    table = cells.table(COMPOSITION)
    above = table.composition - table.baseline
    names = [str(name) for name in table.source.values]
    first, second = ([name for name in names if name.startswith(f"L{layer}H")] for layer in (0, 1))

    def at(step: int) -> np.ndarray:
        scores: xr.DataArray = above.sel(step=step, source=first, target=second)
        return scores.transpose("source", "target", "via").values

    steps = cells.run.steps
    untrained = at(0) if 0 in steps else None
    return Scores(
        cells.run.name, first, second, table.via.values.tolist(), at(middle_step(cells.run)), at(steps[-1]), untrained
    )


def judge(every: list[Scores], pairs: Pairs, judged: list[str] | None = None) -> Finding:
    """The verdict is of the runs named by `judged` (default: all) that have a pair; in a run each pair counts once."""
    used = [scores for scores in every if pairs.get(scores.run)]
    ours = [scores for scores in used if judged is None or scores.run in judged]
    if not ours:
        return _finding(None, ours, pairs, [], {}, "not testable")
    test = tested(ours, pairs)
    controls = [_control("random pairs, as many", ours, _others(ours, pairs))]
    untrained = [
        scores._replace(early=np.zeros_like(scores.late), late=scores.untrained)
        for scores in used
        if scores.untrained is not None
    ]
    if untrained:
        controls.append(_control("the same pairs in the untrained model", untrained, pairs))
    word = verdict(
        testable=True,
        met=test.met,
        opposite=opposite(test.interval, float(test.null.mean())),
        control_fired=any_fired(controls),
    )
    return _finding(test, ours, pairs, controls, {scores.run: _details(scores, pairs) for scores in used}, word)


def tested(runs: list[Scores], pairs: Pairs) -> PairTest:
    """The change of the pairs of each run, of the input where it is largest, and the same under permuted heads."""
    changes = [standardised(scores.late - scores.early) for scores in runs]
    return pair_test(changes, [_places(scores, pairs[scores.run]) for scores in runs])


def _places(scores: Scores, pairs: list[tuple[str, str]]) -> tuple[np.ndarray, np.ndarray]:
    """Where the pairs' heads stand; raises ValueError for a pair that is none of a layer-0 and a layer-1 head."""
    for first, second in pairs:
        if first not in scores.first or second not in scores.second:
            raise ValueError(f"{first} and {second} of {scores.run}: a pair is a layer-0 head and a layer-1 head")
    places = np.array(
        [(scores.first.index(first), scores.second.index(second)) for first, second in sorted(set(pairs))]
    )
    return places[:, 0], places[:, 1]


def _others(runs: list[Scores], pairs: Pairs) -> Pairs:
    """Draws as many pairs that are not in the list."""
    generator, drawn = np.random.default_rng(1), {}
    for scores in runs:
        all_pairs = [(first, second) for first in scores.first for second in scores.second]
        free = [pair for pair in all_pairs if pair not in pairs[scores.run]]
        size = min(len(set(pairs[scores.run])), len(free))
        drawn[scores.run] = [free[place] for place in generator.choice(len(free), size, replace=False)]
    return drawn


def _control(name: str, runs: list[Scores], pairs: Pairs) -> Control:
    kept = [scores for scores in runs if pairs[scores.run]]
    if not kept:
        return Control(name, None, None, False)
    test = tested(kept, pairs)
    return Control(name, test.value, test.p, test.met)


def _details(scores: Scores, pairs: Pairs) -> dict:
    alone, change = tested([scores], pairs), scores.late - scores.early
    in_deviations = standardised(change)

    def by_via(values: np.ndarray) -> dict[str, float]:
        return dict(zip(scores.vias, values.tolist(), strict=True))

    rows = [
        {
            "pair": [scores.first[first], scores.second[second]],
            "early": by_via(scores.early[first, second]),
            "late": by_via(scores.late[first, second]),
            "change in standard deviations": by_via(in_deviations[first, second]),
        }
        for first, second in zip(*_places(scores, pairs[scores.run]), strict=True)
    ]
    return {
        "pairs": rows,
        "mean change of all pairs": by_via(change.mean((0, 1))),
        "value": alone.value,
        "input": scores.vias[int(alone.by_via.argmax())],
        "95th percentile": alone.threshold,
        "p": alone.p,
    }


def _finding(
    test: PairTest | None, ours: list[Scores], pairs: Pairs, controls: list[Control], details: dict, word: Verdict
) -> Finding:
    return Finding(
        claim=CLAIM,
        statistic="change of composition, late minus early, in standard deviations of all pairs: mean over the pairs, "
        "of the input (queries, keys, values) where it is largest",
        value=test.value if test else None,
        interval=test.interval if test else None,
        null=float(test.null.mean()) if test else None,
        p=test.p if test else None,
        units=f"{sum(len(set(pairs[scores.run])) for scores in ours)} pairs of {len(ours)} seeds "
        f"({', '.join(scores.run for scores in ours) or 'none'})",
        smallest_detectable=f"{test.threshold:.2f} standard deviations" if test else "none",
        controls=tuple(controls),
        survives=not_applicable(),
        details=details,
        diagnosis=_diagnosis(test, details),
        verdict=word,
    )


def _diagnosis(test: PairTest | None, details: dict) -> str:
    if test is None:
        return "no pair of heads was found to work together in a run that verdicts come from"
    return "; ".join(
        f"{run}: {len(own['pairs'])} pairs, {own['value']:.2f} through {own['input']} against "
        f"{own['95th percentile']:.2f} at the 95th percentile"
        for run, own in details.items()
    )
