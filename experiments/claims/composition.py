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
from experiments.claims.study import Study
from experiments.claims.verdict import Claim, Control, Finding, Verdict, opposite, verdict
from experiments.measurements.composition import COMPOSITION
from experiments.measurements.variants import SURVIVAL, middle_step
from experiments.results.cells import Cells
from experiments.statistics.permutation import p_value

CLAIM = Claim(
    number=9,
    name="composition",
    statement="those heads come to write to and read from the same subspace",
    precondition="a pair from 7 or 8",
    criterion="above the 95th percentile of the maximum under permuted pairs",
    figure="compositions",
)
DRAWS = 4999


class Scores(NamedTuple):
    """Composition minus baseline, of one run."""

    run: str
    first: list[str]  # heads of layer 0, which write
    second: list[str]  # heads of layer 1, which read
    vias: list[str]
    early: Float[np.ndarray, "first second via"]
    late: Float[np.ndarray, "first second via"]
    untrained: Float[np.ndarray, "first second via"] | None = None  # of step 0, where the run has it


class Test(NamedTuple):
    """The largest mean over inputs, in standard deviations of all pairs, and the same of permuted pairs."""

    value: float
    by_via: Float[np.ndarray, " via"]
    null: Float[np.ndarray, " draw"]

    @property
    def threshold(self) -> float:
        return float(np.quantile(self.null, 0.95))

    @property
    def met(self) -> bool:
        return self.value > self.threshold

    @property
    def p(self) -> float:
        return p_value(self.value, self.null)


def find(study: Study, pairs: Pairs | None = None) -> Finding:
    """pairs: of each run's name (default: those of claim 7 and of claim 8)."""
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
    used = [one for one in every if pairs.get(one.run)]
    ours = [one for one in used if judged is None or one.run in judged]
    if not ours:
        return _finding(None, ours, pairs, [], {}, "not testable")
    test = tested(ours, pairs)
    controls = [_control("random pairs, as many", ours, _others(ours, pairs))]
    untrained = [
        one._replace(early=np.zeros_like(one.late), late=one.untrained) for one in used if one.untrained is not None
    ]
    if untrained:
        controls.append(_control("the same pairs in the untrained model", untrained, pairs))
    word = verdict(
        testable=True,
        met=test.met,
        opposite=opposite(interval(test), float(test.null.mean())),
        control_fired=any(control.fired for control in controls),
    )
    return _finding(test, ours, pairs, controls, {one.run: _details(one, pairs) for one in used}, word)


def tested(runs: list[Scores], pairs: Pairs, draws: int = DRAWS) -> Test:
    """Mean over the pairs of each run and over runs, of the best input, and under permuted heads."""
    changes = [standardised(one) for one in runs]
    index = [_places(one, pairs[one.run]) for one in runs]
    by_via = np.mean([change[a, b].mean(0) for change, (a, b) in zip(changes, index, strict=True)], axis=0)
    generator, null = np.random.default_rng(0), np.empty(draws)
    for draw in range(draws):
        parts = []
        for change, (a, b) in zip(changes, index, strict=True):
            rows, columns = (generator.permutation(count) for count in change.shape[:2])
            parts.append(change[rows[a], columns[b]].mean(0))
        null[draw] = np.mean(parts, axis=0).max()
    return Test(float(by_via.max()), by_via, null)


def standardised(one: Scores) -> Float[np.ndarray, "first second via"]:
    """Late minus early, less the mean of all pairs and over their standard deviation, for each input."""
    change = one.late - one.early
    return (change - change.mean((0, 1))) / np.maximum(change.std((0, 1)), 1e-12)


def interval(test: Test) -> tuple[float, float]:
    """95%, from the spread of permuted pairs around their mean."""
    low, high = np.quantile(test.null, [0.025, 0.975]) - test.null.mean()
    return test.value - float(high), test.value - float(low)


def _places(one: Scores, pairs: list[tuple[str, str]]) -> tuple[np.ndarray, np.ndarray]:
    """Raises ValueError for a pair that is none of a layer-0 and a layer-1 head."""
    for first, second in pairs:
        if first not in one.first or second not in one.second:
            raise ValueError(f"{first} and {second} of {one.run}: a pair is a layer-0 head and a layer-1 head")
    places = np.array([(one.first.index(first), one.second.index(second)) for first, second in sorted(set(pairs))])
    return places[:, 0], places[:, 1]


def _others(runs: list[Scores], pairs: Pairs) -> Pairs:
    """Draws as many pairs that are not in the list."""
    generator, drawn = np.random.default_rng(1), {}
    for one in runs:
        free = [
            (first, second) for first in one.first for second in one.second if (first, second) not in pairs[one.run]
        ]
        size = min(len(set(pairs[one.run])), len(free))
        drawn[one.run] = [free[place] for place in generator.choice(len(free), size, replace=False)]
    return drawn


def _control(name: str, runs: list[Scores], pairs: Pairs) -> Control:
    kept = [one for one in runs if pairs[one.run]]
    if not kept:
        return Control(name, None, None, False)
    test = tested(kept, pairs)
    return Control(name, test.value, test.p, test.met)


def _details(one: Scores, pairs: Pairs) -> dict:
    alone, change, of_all = tested([one], pairs), one.late - one.early, standardised(one)
    a, b = _places(one, pairs[one.run])
    rows = [
        {
            "pair": [one.first[first], one.second[second]],
            "early": dict(zip(one.vias, one.early[first, second].tolist(), strict=True)),
            "late": dict(zip(one.vias, one.late[first, second].tolist(), strict=True)),
            "change in standard deviations": dict(zip(one.vias, of_all[first, second].tolist(), strict=True)),
        }
        for first, second in zip(a, b, strict=True)
    ]
    return {
        "pairs": rows,
        "mean change of all pairs": dict(zip(one.vias, change.mean((0, 1)).tolist(), strict=True)),
        "value": alone.value,
        "input": one.vias[int(alone.by_via.argmax())],
        "95th percentile": alone.threshold,
        "p": alone.p,
    }


def _finding(
    test: Test | None, ours: list[Scores], pairs: Pairs, controls: list[Control], details: dict, word: Verdict
) -> Finding:
    return Finding(
        claim=CLAIM,
        statistic="change of composition, late minus early, in standard deviations of all pairs: mean over the pairs, "
        "of the input (queries, keys, values) where it is largest",
        value=test.value if test else None,
        interval=interval(test) if test else None,
        null=float(test.null.mean()) if test else None,
        p=test.p if test else None,
        units=f"{sum(len(set(pairs[one.run])) for one in ours)} pairs of {len(ours)} seeds "
        f"({', '.join(one.run for one in ours) or 'none'})",
        smallest_detectable=f"{test.threshold:.2f} standard deviations" if test else "none",
        controls=tuple(controls),
        survives=dict.fromkeys(SURVIVAL, "not applicable"),
        details=details,
        diagnosis=_diagnosis(test, details),
        verdict=word,
    )


def _diagnosis(test: Test | None, details: dict) -> str:
    if test is None:
        return "no pair of heads was found to work together in a run that verdicts come from"
    return "; ".join(
        f"{run}: {len(one['pairs'])} pairs, {one['value']:.2f} through {one['input']} against "
        f"{one['95th percentile']:.2f} at the 95th percentile"
        for run, one in details.items()
    )
