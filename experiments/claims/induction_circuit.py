"""Claim 11: the previous-token heads feed the induction heads through their keys, and no other set of heads does.

A seed meets the criterion where cutting the keys from all previous-token heads takes more of the copy gain than any
rival (`circuit_cuts`) and at least half of the prefix-matching attention, under mean and resample ablation alike. Of n
seeds "most" are m = ceil(7/8 n). The claim is

    replicated     where m seeds or more meet the criterion;
    contradicted   where it is not, and n - m seeds or fewer lose half of the attention to the claimed cut (so that in
                   most seeds it does not even do that), or the 95% interval of the margin over seeds lies below 0.

p: were each cut of a seed as likely as its rivals to take the most, the probability of so many seeds in which it does.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ablations.not_measurable import NotMeasurable
from circuits import classify
from experiments.statistics.seeds.seed_means import seed_mean
from experiments.study import circuit_cuts, each_run
from experiments.study.circuit_cuts import REMOVED, Cuts, Margin, margin
from experiments.study.each_run import most
from experiments.study.study import Study
from experiments.study.survival import not_applicable
from experiments.study.verdict import Claim, Control, Finding, any_fired, opposite, verdict

CLAIM = Claim(
    number=11,
    name="induction circuit",
    statement="layer-0 previous-token heads feed layer-1 induction heads through their keys",
    precondition=f"an induction head: prefix matching above {classify.PREFIX_MATCHING}",
    criterion=f"largest effect of all and at least {100 * REMOVED:.0f}% of the prefix-matching attention removed, in "
    "most seeds",
    figure="paths",
)


def find(study: Study) -> Finding:
    """What each cut takes in every run, at the end of training and in the untrained model."""
    every, lacking = each_run.measured(study.cells, lambda cells: circuit_cuts.cuts_of(study, cells))
    return judge([*every.values()], [cells.run.name for cells in study.judged], lacking)


def judge(every: Sequence[Cuts], judged: Sequence[str], lacking: Mapping[str, str] | None = None) -> Finding:
    """The verdict is of the judged runs; every run's numbers are in details. lacking: why others have no cuts."""
    margins, unmet = _margins(every)
    unmet |= dict(lacking or {})
    untestable, remarks = each_run.reasons(judged, unmet)
    ours = [run for run in each_run.meeting(judged, unmet) if run in margins]
    if not ours:
        raise NotMeasurable("; ".join([*untestable, *remarks]))
    own = [margins[run] for run in ours]
    over = seed_mean([of_run.value for of_run in own])
    controls = _controls([run for run in every if run.name in ours], every)
    met = _enough(own)
    in_few = sum(of_run.removes for of_run in own) <= len(own) - most(len(own))
    return Finding(
        claim=CLAIM,
        statistic="copy gain (nats per token) that the claimed cut takes more than the best set of equal size and "
        "input without a previous-token head, less favourable of mean and resample; mean over seeds",
        value=over.value,
        interval=over.interval,
        null=0.0,
        p=chance([of_run.rivals + 1 for of_run in own], sum(of_run.met for of_run in own)),
        units=_units([run for run in every if run.name in ours]),
        smallest_detectable=f"{most(len(own))} of {len(own)} seeds that meet the criterion",
        controls=controls,
        survives=not_applicable(),
        details={run.name: _details(run, margins[run.name]) for run in every if run.name in margins},
        diagnosis="; ".join([*untestable, _counts(own), *_sentences(every, margins), *remarks]),
        verdict=verdict(
            testable=not untestable,
            met=met,
            opposite=not met and (in_few or opposite(over.interval, 0.0)),
            control_fired=any_fired(controls),
        ),
    )


def chance(cuts: Sequence[int], seeds: int) -> float:
    """The probability that in so many seeds or more one cut, named beforehand, takes the most of all, each of a seed's
    cuts being as likely to: the tail of a binomial, or of its like where seeds differ in their number of cuts.
    """
    of_count = np.ones(1)  # probability of each number of seeds
    for number in cuts:
        of_count = np.convolve(of_count, [1 - 1 / number, 1 / number])
    return float(of_count[seeds:].sum())


def _margins(every: Sequence[Cuts]) -> tuple[dict[str, Margin], dict[str, str]]:
    """The claimed cut against its rivals, by run; and why runs do not meet the precondition."""
    margins, unmet = {}, {}
    for run in every:
        if run.matching <= classify.PREFIX_MATCHING:
            unmet[run.name] = f"{run.name} has no induction head: prefix matching {run.matching:.2f}"
        try:
            margins[run.name] = margin(run, run.claimed)
        except NotMeasurable as error:
            unmet[run.name] = str(error)
    return margins, unmet


def _enough(margins: Sequence[Margin]) -> bool:
    """Whether the criterion is met in most of some seeds."""
    return sum(of_run.met for of_run in margins) >= most(len(margins))


def _controls(used: Sequence[Cuts], every: Sequence[Cuts]) -> tuple[Control, ...]:
    """The same heads through their queries; the best set without a previous-token head; the untrained model."""

    def control(name: str, runs: Sequence[Cuts], cut_of: Callable[[Cuts], str]) -> list[Control]:
        margins = [margin(run, cut) for run in runs if (cut := cut_of(run)) and circuit_cuts.rivals(run.cuts, cut)]
        mean = float(np.mean([of_run.value for of_run in margins])) if margins else 0.0
        return [Control(name, mean, None, _enough(margins))] if margins else []

    untrained = [run.untrained for run in every if run.untrained]
    return (
        *control("the same heads through queries", used, lambda run: run.claimed.removesuffix(".k") + ".q"),
        *control("keys from the best set without a previous-token head", used, circuit_cuts.strangers),
        *control("the untrained model", untrained, lambda run: run.claimed),
    )


def _units(used: Sequence[Cuts]) -> str:
    counts = ", ".join(f"{run.name}: {len(circuit_cuts.rivals(run.cuts, run.claimed))} rivals" for run in used)
    return f"{len(used)} seeds ({counts}; {sum(len(run.attention) for run in used)} sequences of repeated tokens)"


def _details(run: Cuts, own: Margin) -> dict:
    return {
        "claimed": run.claimed,
        "prefix matching of the induction heads (least)": run.matching,
        **own._asdict(),
        "met": own.met,
        "single-path ranks": run.ranks or {},
        "copy gain of repeated text removed": run.on_text or {},
    }


def _counts(own: Sequence[Margin]) -> str:
    return (
        f"{sum(of_run.met for of_run in own)} of {len(own)} seeds meet the criterion, "
        f"{sum(of_run.removes for of_run in own)} lose half of the attention; {most(len(own))} are asked"
    )


def _sentences(every: Sequence[Cuts], margins: Mapping[str, Margin]) -> list[str]:
    return [_sentence(run, margins[run.name]) for run in every if run.name in margins]


def _sentence(run: Cuts, own: Margin) -> str:
    ranks = ", ".join(f"{path} {rank}" for path, rank in (run.ranks or {}).items())
    return (
        f"{run.name}: {run.claimed} takes {own.value:+.2f} nats per token more of the copy gain than {own.rival}, rank "
        f"{own.rank} of {own.rivals + 1}; it removes {100 * own.own_share:.0f}% of the attention, a rival at most "
        f"{100 * own.other_share:.0f}%; ranks of single paths: {ranks or 'not measured'}"
    )


FINDERS = {CLAIM: find}
