"""Claim 8: at nested brackets, which closer is expected comes to hang on layer 0 -> layer 1 information.

Of a path: what cutting it costs at a nested closer, late minus early, minus the same at unnested closers like it.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int64

from ablations.effects import clustered
from ablations.not_measurable import NotMeasurable
from experiments.measurements.variants import middle_step
from experiments.results.cells import Cells
from experiments.statistics.halves import random_half
from experiments.statistics.matching import adjusted, contrast, matched
from experiments.statistics.permutation import permuted
from experiments.statistics.two_way_errors import Mean, mean_of_runs, two_sided_p
from experiments.study.study import Study
from experiments.study.survival import not_applicable
from experiments.study.two_layers import need_two_layers
from experiments.study.verdict import Claim, Control, Finding, any_fired, opposite, verdict
from experiments.tasks.closer_odds import CLEAN, GROUPS

CLOSERS, DOCUMENTS = 100, 30
CLAIM = Claim(
    number=8,
    name="nested brackets",
    statement="choosing the right closer of a nested pair comes to need layer 0 -> layer 1 information",
    precondition=(
        f"in either half of the documents {CLOSERS} nested closers, of {DOCUMENTS} documents, whose enclosing opener "
        "is of another type; the right closer leads at more than half of them (95% interval, by document)"
    ),
    criterion="interaction > 0, p < 0.05, clustered by document and seed",
    figure="path-needs",
)
EARLY, LATE, FIRST = range(3)  # times: middle of the training, its end, its first checkpoint
SHUFFLES, ALLOWED = 19, 3  # chance lets 3 of 19 pass with a probability of 0.001 or less


class Closers(NamedTuple):
    """Closing brackets in one run, the same ones at all times."""

    name: str
    first: int  # step of its first checkpoint; 0: the untrained model
    paths: list[str]
    odds: Float[np.ndarray, "time change closer"]  # log-odds of the right closer: clean, then with each path cut
    nested: Bool[np.ndarray, " closer"]
    document: Int64[np.ndarray, " closer"]
    distance: Int64[np.ndarray, " closer"]  # tokens from the opener
    pos: Int64[np.ndarray, " closer"]


class Interaction(NamedTuple):
    """A path of one run, chosen on half of the documents, and its interaction on the others, in nats."""

    path: str
    value: float
    se: float
    p: float
    influence: dict[int, float]  # of each document on the value; their sum is 0
    chosen: float  # the interaction on the half that it was chosen on
    groups: dict[str, float]  # nested and control: means of what is lost early and late
    balance: dict[str, float]  # standardised differences of what is matched on
    least: str  # the path with the smallest interaction on the half that paths are chosen on
    least_value: float  # its interaction on the others: below 0 where the chosen path takes another's place


def find(study: Study) -> Finding:
    """The log-odds of closers at mid-training, at the end and at the first checkpoint of every run."""
    return judge([closers_of(study, cells) for cells in study.cells], [cells.run.name for cells in study.judged])


def chosen_pairs(study: Study) -> dict[str, list[tuple[str, str]]]:
    """The pair of heads of every run, of layer 0 and of layer 1, where its path passes the criterion."""
    pairs = {}
    for cells in study.cells:
        interaction = tested(closers_of(study, cells))
        source, target = interaction.path.split("->")
        pairs[cells.run.name] = [(source, target)] if _met(interaction) else []
    return pairs


def closers_of(study: Study, cells: Cells) -> Closers:
    """The brackets of a run and what each path from head to head is worth to them, at the three times.

    Raises NotMeasurable for a run with one layer.
    """
    need_two_layers(cells)
    steps = (middle_step(cells.run), cells.run.steps[-1], cells.run.steps[0])
    tables = [study.closers(cells, step) for step in steps]
    late = tables[LATE]
    brackets = np.flatnonzero(late.group.values != GROUPS.index("quote"))
    changes = [CLEAN, *(str(name) for name in late.change.values if "->" in str(name))]
    odds = np.stack([table.log_odds.sel(change=changes).values[:, brackets] for table in tables]).astype(np.float64)
    nested = late.group.values[brackets] == GROUPS.index("nested")
    return Closers(
        cells.run.name,
        steps[FIRST],
        changes[1:],
        odds,
        nested,
        *(late[name].values[brackets].astype(np.int64) for name in ("document", "distance", "pos")),
    )


def judge(every: list[Closers], judged: list[str]) -> Finding:
    """The verdict is of the judged runs together; every run's numbers are in details."""
    by_run = {closers.name: tested(closers) for closers in every if testable(closers)}
    used = [closers for closers in every if closers.name in judged and closers.name in by_run]
    untrained = [closers for closers in every if closers.name in by_run and closers.first == 0]
    enough = bool(used) and len(used) == len(judged)
    mean = pooled([by_run[closers.name] for closers in used]) if enough else None
    controls = _controls(used, untrained) if mean else ()
    interval = (mean.value - mean.critical, mean.value + mean.critical) if mean else None
    return Finding(
        claim=CLAIM,
        statistic="nats of log-odds lost when the path is cut, late minus early, nested minus like unnested closers",
        value=mean.value if mean else None,
        interval=interval,
        null=0.0,
        p=mean.p if mean else None,
        units=_units(used),
        smallest_detectable=f"{mean.critical:.2f} nats (where p is 0.05)" if mean else "none",
        controls=controls,
        survives=not_applicable(),
        details={closers.name: _details(closers, by_run.get(closers.name)) for closers in every},
        diagnosis="; ".join(_sentence(closers, by_run.get(closers.name)) for closers in every),
        verdict=verdict(
            testable=enough,
            met=mean is not None and _met(mean),
            opposite=opposite(interval, 0.0),
            control_fired=any_fired(controls),
        ),
    )


def testable(closers: Closers) -> bool:
    """Whether both halves have enough nested closers, of enough documents, and most are right at the end."""
    chooses, nested = random_half(closers.document), closers.nested
    for half in (chooses, ~chooses):
        if (nested & half).sum() < CLOSERS or len(np.unique(closers.document[nested & half])) < DOCUMENTS:
            return False
    right = clustered(closers.odds[LATE, 0, nested] > 0, closers.document[nested])
    return right.interval[0] > 0.5


def tested(
    closers: Closers, *, nested: Bool[np.ndarray, " closer"] | None = None, late: int = LATE, rank: int = 0
) -> Interaction:
    """The path whose interaction has this rank (0: the largest) on one half of the documents, on the other half.

    nested, late: other labels, and another time at which the path is tested, for controls. Raises NotMeasurable where
    a half of the documents has no nested closers or no others, or the other half is one document.
    """
    nested = closers.nested if nested is None else nested
    lost = closers.odds[:, :1] - closers.odds[:, 1:]  # [time, path, closer]
    chooses = random_half(closers.document)
    like = likeness(closers, LATE)
    weights = matched(nested, like, chooses)
    on_half = adjusted(lost[LATE] - lost[EARLY], weights, like) @ weights
    path = int(np.argsort(-on_half, kind="stable")[rank])
    least = int(np.argmin(on_half))
    like = likeness(closers, late)
    weights = matched(nested, like, ~chooses)
    moved = adjusted((lost[late] - lost[EARLY])[[path, least]], weights, like)
    value, influence = contrast(weights, moved[0], closers.document)
    size = np.array([*influence.values()])
    if len(size) < 2:
        raise NotMeasurable(f"{closers.name}: closers in one document, but errors need two")
    se = float(np.sqrt(len(size) / (len(size) - 1) * (size**2).sum()))
    groups = {
        f"{name}, {when}": float((sign * weights).clip(0) @ lost[time, path])
        for name, sign in (("nested", 1), ("controls", -1))
        for when, time in (("early", EARLY), ("late", late))
    }
    spread = like[~chooses].std(0)
    apart = weights @ like / np.where(spread > 0, spread, 1)
    names = ("distance", "position", "clean log-odds early", "clean log-odds late")
    balance = dict(zip(names, apart.tolist(), strict=True))
    return Interaction(
        closers.paths[path],
        value,
        se,
        two_sided_p(value, se, len(size)),
        influence,
        float(on_half[path]),
        groups,
        balance,
        closers.paths[least],
        float(moved[1] @ weights),
    )


def likeness(closers: Closers, late: int) -> Float[np.ndarray, "closer 4"]:
    """What controls are matched on: distance and position (logarithms), and clean log-odds at both times."""
    early, end = closers.odds[EARLY, 0], closers.odds[late, 0]
    return np.stack([np.log(closers.distance), np.log(closers.pos), early, end], axis=1)


def pooled(interactions: list[Interaction]) -> Mean:
    """The mean of the runs' interactions, with errors clustered by document and by run."""
    values = np.array([interaction.value for interaction in interactions])
    errors = [interaction.se for interaction in interactions]
    return mean_of_runs(values, errors, [interaction.influence for interaction in interactions])


def _met(interaction: Mean | Interaction) -> bool:
    return interaction.value > 0 and interaction.p < 0.05


def _controls(used: list[Closers], untrained: list[Closers]) -> tuple[Control, ...]:
    """Closers' groups exchanged within documents; a path like most; the untrained model, where a run has it.

    An untrained model's log-odds differ a little between the groups under any cut, since their wrong closers do: so it
    stands in place of the last checkpoint, not by itself.
    """
    generator = np.random.default_rng(0)
    shuffled = [
        pooled([tested(each, nested=each.nested[permuted(generator, each.document)]) for each in used])
        for _ in range(SHUFFLES)
    ]
    passing = sum(map(_met, shuffled))
    middling = pooled([tested(closers, rank=len(closers.paths) // 2) for closers in used])
    value, p = (float(np.median([getattr(mean, part) for mean in shuffled])) for part in ("value", "p"))
    controls = [
        Control(f"nested and unnested exchanged ({passing} of {SHUFFLES} pass; medians)", value, p, passing > ALLOWED),
        Control("the path of the median interaction", middling.value, middling.p, _met(middling)),
    ]
    if untrained:
        first = pooled([tested(closers, late=FIRST) for closers in untrained])
        controls.append(Control("the untrained model in place of the last", first.value, first.p, _met(first)))
    return tuple(controls)


def _units(used: list[Closers]) -> str:
    on_test = [closers.document[closers.nested & ~random_half(closers.document)] for closers in used]
    documents = {number for part in on_test for number in part.tolist()}
    names = ", ".join(closers.name for closers in used)
    return f"{sum(map(len, on_test))} nested closers, {len(documents)} documents, {len(used)} seeds ({names})"


def _details(closers: Closers, interaction: Interaction | None) -> dict:
    nested = closers.odds[:, 0, closers.nested]
    clean = {"early": float(nested[EARLY].mean()), "late": float(nested[LATE].mean())}
    counts = {"nested closers": int(closers.nested.sum()), "unnested closers": int((~closers.nested).sum())}
    tested_on = {} if interaction is None else {k: v for k, v in interaction._asdict().items() if k != "influence"}
    return {"clean log-odds, nested": clean, **counts, **tested_on}


def _sentence(closers: Closers, interaction: Interaction | None) -> str:
    if interaction is None:
        nested = closers.nested
        right = float((closers.odds[LATE, 0, nested] > 0).mean()) if nested.any() else 0.0
        return f"{closers.name}: {int(nested.sum())} nested closers, {100 * right:.0f}% right, too few to test"
    lost, swapped = interaction.groups, interaction.least_value < -interaction.value / 2
    return (
        f"{closers.name}: cutting {interaction.path} costs {lost['nested, early']:.2f} nats early and "
        f"{lost['nested, late']:.2f} late at nested closers, {lost['controls, early']:.2f} and "
        f"{lost['controls, late']:.2f} at their controls; "
        f"{'it takes the place of' if swapped else 'most negative is'} {interaction.least} "
        f"({interaction.least_value:+.2f})"
    )
