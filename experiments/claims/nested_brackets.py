"""Claim 8: which closer is expected of a nested pair comes to hang on layer 0 -> layer 1 information.

Brackets in a bracket of another type, and strings in a bracket; `nested_closers` says what a seed gives.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ablations.not_measurable import NotMeasurable
from experiments.statistics.permutation import permuted
from experiments.study import each_run, nested_closers, over_seeds, settled
from experiments.study.nested_closers import CLOSERS, DOCUMENTS, EARLY, FIRST, LATE, Closers, Interaction, tested
from experiments.study.over_seeds import BySeed
from experiments.study.study import Study
from experiments.study.verdict import Claim, Control, Finding, Interest

CLAIM = Claim(
    number=8,
    name="nested structure",
    statement="choosing the right closer of a nested pair, brackets and quotes inside brackets alike, comes to need "
    "layer 0 -> layer 1",
    precondition=(
        f"in either half of the documents {CLOSERS} nested closers, of {DOCUMENTS} documents; the right closer leads "
        "that of the bracket around at more than half of them (95% interval, by document); the loss is settled"
    ),
    criterion="interaction > 0, p < 0.05",
    figure="path-needs",
)
INTEREST = Interest(0.5, "nats")


def find(study: Study) -> Finding:
    """The log-odds of closers at mid-training, at the end and at the first checkpoint of every run."""
    every, lacking = each_run.measured(study.cells, lambda cells: nested_closers.closers_of(study, cells))
    return judge(every, [cells.run.name for cells in study.judged], lacking, settled.untestable(study))


def chosen_pairs(study: Study) -> dict[str, list[tuple[str, str]]]:
    """The pair of heads of every run, of layer 0 and of layer 1, where its path passes the criterion by itself."""
    every, _ = each_run.measured(study.cells, lambda cells: nested_closers.closers_of(study, cells))
    pairs = {}
    for run, closers in every.items():
        interaction = None if nested_closers.unmet(closers) else tested(closers)
        source, target = interaction.path.split("->") if interaction else ("", "")
        pairs[run] = [(source, target)] if interaction and interaction.met else []
    return pairs


def judge(
    every: Mapping[str, Closers],
    judged: Sequence[str],
    lacking: Mapping[str, str] | None = None,
    unsettled: Sequence[str] = (),
) -> Finding:
    """The verdict is of the judged runs; every run's numbers are in details. lacking: why others have no closers."""
    unmet = {run: why for run, closers in every.items() if (why := nested_closers.unmet(closers))} | dict(lacking or {})
    untestable, remarks = each_run.reasons(judged, unmet)
    interactions = _interactions(every)
    ours = [run for run in each_run.meeting(judged, unmet) if run in interactions]
    sentences = [_sentence(every[run], interaction) for run, interaction in interactions.items()]
    return over_seeds.finding(
        CLAIM,
        {run: interactions[run].value for run in ours},
        statistic="nats of log-odds lost when the path is cut, late minus early, nested minus like unnested closers",
        interest=INTEREST,
        controls=_controls({run: every[run] for run in ours}, every),
        details={run: _details(closers, interactions.get(run)) for run, closers in every.items()},
        remarks=[*sentences, *remarks],
        untestable=[*untestable, *unsettled],
        units=_units([every[run] for run in ours]),
    )


def _interactions(every: Mapping[str, Closers]) -> dict[str, Interaction]:
    """Of the runs that have nested closers and controls."""
    found = {}
    for run, closers in every.items():
        try:
            found[run] = tested(closers)
        except NotMeasurable:
            continue
    return found


def _controls(used: Mapping[str, Closers], every: Mapping[str, Closers]) -> list[Control]:
    """Closers' groups exchanged within documents; a path like most; the untrained model, where a run has it.

    An untrained model's log-odds differ a little between the groups under any cut, since their wrong closers do: so it
    stands in place of the last checkpoint, not by itself.
    """

    def exchanged(closers: Closers, seed: int) -> float:
        strata = 2 * closers.document + closers.quote
        return tested(closers, nested=closers.nested[permuted(np.random.default_rng(seed), strata)]).value

    def by_seed(runs: Mapping[str, Closers], value_of: Callable[[Closers], float]) -> BySeed:
        return {run: value_of(closers) for run, closers in runs.items()}

    untrained = {run: closers for run, closers in every.items() if closers.first == 0 and run in _interactions(every)}
    middling = by_seed(used, lambda closers: tested(closers, rank=len(closers.paths) // 2).value)
    first = by_seed(untrained, lambda closers: tested(closers, late=FIRST).value)
    controls = [
        over_seeds.middle_control(
            "nested and unnested exchanged within documents",
            lambda seed: by_seed(used, lambda closers: exchanged(closers, seed)),
        ),
        over_seeds.control("the path of the median interaction", middling),
    ]
    return [*controls, over_seeds.control("the untrained model in place of the last", first)] if first else controls


def _units(used: Sequence[Closers]) -> str:
    counts = ", ".join(
        f"{closers.name}: {int((closers.nested & ~closers.quote).sum())} brackets and "
        f"{int((closers.nested & closers.quote).sum())} strings, {len(np.unique(closers.document))} documents"
        for closers in used
    )
    return f"{len(used)} seeds ({counts})"


def _details(closers: Closers, interaction: Interaction | None) -> dict:
    nested = closers.odds[:, 0, closers.nested]
    clean = {"early": float(nested[EARLY].mean()), "late": float(nested[LATE].mean())}
    right = {
        kind: float((closers.odds[LATE, 0, closers.nested & of_kind] > 0).mean())
        for kind, of_kind in (("brackets", ~closers.quote), ("strings", closers.quote))
        if (closers.nested & of_kind).any()
    }
    counts = {"nested closers": int(closers.nested.sum()), "unnested closers": int((~closers.nested).sum())}
    tested_on = interaction._asdict() if interaction else {}
    return {"clean log-odds, nested": clean, "share right at nested closers": right, **counts, **tested_on}


def _sentence(closers: Closers, interaction: Interaction) -> str:
    lost, swapped = interaction.groups, interaction.least_value < -interaction.value / 2
    kinds = ", ".join(f"{kind} {value:+.2f}" for kind, value in interaction.by_kind.items())
    return (
        f"{closers.name}: cutting {interaction.path} costs {lost['nested, early']:.2f} nats early and "
        f"{lost['nested, late']:.2f} late at nested closers, {lost['controls, early']:.2f} and "
        f"{lost['controls, late']:.2f} at their controls (interaction by kind: {kinds}; se {interaction.se:.2f} by "
        f"document); {'it takes the place of' if swapped else 'most negative is'} {interaction.least} "
        f"({interaction.least_value:+.2f})"
    )


FINDERS = {CLAIM: find}
