"""Claim 9: heads that come to work together come to write to and read from the same subspace.

Of each pair of a layer-0 and a layer-1 head and each input (queries, keys, values): the composition score, late minus
early. (The random baseline depends on shapes alone, so that it cancels.) Per run and input the changes of all pairs are
standardised: "against all pairs". The statistic is the mean over the pairs at hand, then over runs, of the input where
it is largest. Its null permutes the heads of each layer, pairs with them, and takes the same maximum.

Whether the effect is absent is said by the plain change of the score at that input, pairs minus all pairs, over seeds.
"""

import contextlib
from collections.abc import Mapping, Sequence

import numpy as np

from ablations.not_measurable import NotMeasurable
from experiments.claims import coordination, nested_brackets
from experiments.statistics.intervals import from_to
from experiments.statistics.permuted_pairs import PairTest, pair_test, standardised
from experiments.statistics.seeds.seed_means import SeedMean, seed_mean
from experiments.study import each_run, settled
from experiments.study.over_seeds import BySeed
from experiments.study.pair_scores import Pairs, Scores, others, places, plain_change, scores_of
from experiments.study.study import Study
from experiments.study.survival import not_applicable
from experiments.study.verdict import Claim, Control, Finding, Interest, any_fired, below, opposite, verdict

CLAIM = Claim(
    number=9,
    name="composition",
    statement="those heads come to write to and read from the same subspace",
    precondition="a pair from 7 or 8; the loss is settled",
    criterion="above the 95th percentile of the maximum under permuted pairs",
    figure="compositions",
)
INTEREST = Interest(0.02, "in composition score")


def find(study: Study, pairs: Pairs | None = None) -> Finding:
    """The changes of composition of some pairs of each run, by its name (default: those of claim 7 and of claim 8)."""
    every, _ = each_run.measured(study.cells, scores_of)
    chosen = chosen_pairs(study) if pairs is None else pairs
    return judge([*every.values()], chosen, [cells.run.name for cells in study.judged], settled.untestable(study))


def chosen_pairs(study: Study) -> Pairs:
    """Pairs that come to affect the same tokens, and the path that nested brackets come to need."""
    found: list[Pairs] = []
    for claim in (coordination, nested_brackets):
        with contextlib.suppress(NotMeasurable):  # where the text has no nested brackets, or too few documents
            found.append(claim.chosen_pairs(study))
    runs = [cells.run.name for cells in study.cells]
    return {run: sorted({pair for pairs in found for pair in pairs.get(run, [])}) for run in runs}


def judge(every: list[Scores], pairs: Pairs, judged: Sequence[str], unsettled: Sequence[str] = ()) -> Finding:
    """The verdict is of the judged runs that have a pair; in a run each pair counts once."""
    used = [scores for scores in every if pairs.get(scores.run)]
    ours = [scores for scores in used if scores.run in judged]
    if not ours:
        none = "no pair of heads was found to work together in a run that verdicts come from"
        raise NotMeasurable("; ".join([none, *unsettled]))
    test, controls = tested(ours, pairs), _controls(ours, used, pairs)
    plain = {scores.run: plain_change(scores, pairs[scores.run], int(test.by_via.argmax())) for scores in ours}
    over = seed_mean(list(plain.values()))
    away = opposite(test.interval, float(test.null.mean())) and not test.met
    word = verdict(
        testable=not unsettled,
        met=test.met,
        opposite=away,
        absent=below(over.interval, INTEREST.value),
        control_fired=any_fired(controls),
    )
    of_runs = {scores.run: _details(scores, pairs) for scores in used}
    remarks = [*unsettled, _plain_sentence(over, plain), *(_sentence(run, own) for run, own in of_runs.items())]
    return Finding(
        claim=CLAIM,
        statistic="change of composition, late minus early, in standard deviations of all pairs: mean over the pairs, "
        "of the input (queries, keys, values) where it is largest",
        value=test.value,
        interval=test.interval,
        null=float(test.null.mean()),
        p=test.p,
        units=f"{sum(len(set(pairs[scores.run])) for scores in ours)} pairs of {len(ours)} seeds "
        f"({', '.join(scores.run for scores in ours)})",
        smallest_detectable=f"{test.threshold:.2f} standard deviations",
        controls=tuple(controls),
        survives=not_applicable(),
        details={**of_runs, "change of score, minus that of all pairs": _plain(over, plain, test, ours[0].vias)},
        diagnosis="; ".join(remarks),
        verdict=word,
        interest=INTEREST,
    )


def _plain(over: SeedMean, plain: BySeed, test: PairTest, vias: Sequence[str]) -> dict:
    interval = None if over.interval is None else list(over.interval)
    return {"input": vias[int(test.by_via.argmax())], "mean": over.value, "interval": interval, "by seed": dict(plain)}


def _plain_sentence(over: SeedMean, plain: BySeed) -> str:
    each = ", ".join(f"{run} {value:+.3f}" for run, value in plain.items())
    return f"change of score minus that of all pairs {over.value:+.3f} ({from_to(over.interval) or 'one seed'}): {each}"


def _controls(ours: list[Scores], used: list[Scores], pairs: Pairs) -> list[Control]:
    """As many random pairs; and the same pairs in the untrained model, where a run has it."""
    untrained = [
        scores._replace(early=np.zeros_like(scores.late), late=scores.untrained)
        for scores in used
        if scores.untrained is not None
    ]
    controls = [_control("random pairs, as many", ours, others(ours, pairs))]
    return [*controls, _control("the same pairs in the untrained model", untrained, pairs)] if untrained else controls


def tested(runs: list[Scores], pairs: Pairs) -> PairTest:
    """The change of the pairs of each run, of the input where it is largest, and the same under permuted heads."""
    changes = [standardised(scores.late - scores.early) for scores in runs]
    return pair_test(changes, [places(scores, pairs[scores.run]) for scores in runs])


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
        for first, second in zip(*places(scores, pairs[scores.run]), strict=True)
    ]
    return {
        "pairs": rows,
        "mean change of all pairs": by_via(change.mean((0, 1))),
        "value": alone.value,
        "input": scores.vias[int(alone.by_via.argmax())],
        "95th percentile": alone.threshold,
        "p": alone.p,
    }


def _sentence(run: str, own: Mapping) -> str:
    return (
        f"{run}: {len(own['pairs'])} pairs, {own['value']:.2f} through {own['input']} against "
        f"{own['95th percentile']:.2f} at the 95th percentile"
    )


FINDERS = {CLAIM: find}
