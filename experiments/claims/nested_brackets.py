"""Claim 8: at nested brackets, which closer is expected comes to hang on layer 0 -> layer 1 information.

Of a path: what cutting it costs at a nested closer, late minus early, minus the same at unnested closers like it.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int64
from scipy import stats

from ablations.effects import clustered
from experiments.claims.study import Study
from experiments.claims.verdict import Claim, Control, Finding, opposite, verdict
from experiments.measurements.variants import SURVIVAL, middle_step
from experiments.results.cells import Cells
from experiments.statistics.halves import random_half
from experiments.statistics.intervals import TWO_SIDED
from experiments.statistics.matching import adjusted, contrast, matched
from experiments.statistics.permutation import permuted
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
Pairs = dict[str, list[tuple[str, str]]]  # of each run: a head of layer 0, a head of layer 1


class Closers(NamedTuple):
    """Brackets of one run, the same ones at all times."""

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


class Pooled(NamedTuple):
    """The mean of the runs' interactions."""

    value: float
    se: float
    p: float
    critical: float  # the value at which p is 0.05


def find(study: Study) -> Finding:
    return judge([closers_of(study, cells) for cells in study.cells], [cells.run.name for cells in study.judged])


def chosen_pairs(study: Study) -> Pairs:
    """The pair of heads of every run, where its path passes the criterion."""
    pairs = {}
    for cells in study.cells:
        one = tested(closers_of(study, cells))
        source, target = one.path.split("->")
        pairs[cells.run.name] = [(source, target)] if _met(one) else []
    return pairs


def closers_of(study: Study, cells: Cells) -> Closers:
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
    of_runs = {one.name: tested(one) for one in every if testable(one)}
    used = [one for one in every if one.name in judged and one.name in of_runs]
    enough = bool(used) and len(used) == len(judged)
    interaction = pooled([of_runs[one.name] for one in used]) if enough else None
    controls = _controls(used, [one for one in every if one.name in of_runs and one.first == 0]) if interaction else ()
    interval = (
        (interaction.value - interaction.critical, interaction.value + interaction.critical) if interaction else None
    )
    return Finding(
        claim=CLAIM,
        statistic="nats of log-odds lost when the path is cut, late minus early, nested minus like unnested closers",
        value=interaction.value if interaction else None,
        interval=interval,
        null=0.0,
        p=interaction.p if interaction else None,
        units=_units(used),
        smallest_detectable=f"{interaction.critical:.2f} nats (where p is 0.05)" if interaction else "none",
        controls=controls,
        survives=dict.fromkeys(SURVIVAL, "not applicable"),
        details={one.name: _details(one, of_runs.get(one.name)) for one in every},
        diagnosis="; ".join(_sentence(one, of_runs.get(one.name)) for one in every),
        verdict=verdict(
            testable=enough,
            met=interaction is not None and _met(interaction),
            opposite=opposite(interval, 0.0),
            control_fired=any(control.fired for control in controls),
        ),
    )


def testable(one: Closers) -> bool:
    chooses = random_half(one.document)
    for half in (chooses, ~chooses):
        if (one.nested & half).sum() < CLOSERS or len(np.unique(one.document[one.nested & half])) < DOCUMENTS:
            return False
    right = clustered(one.odds[LATE, 0, one.nested] > 0, one.document[one.nested])
    return right.value - TWO_SIDED * right.se > 0.5


def tested(
    one: Closers, *, nested: Bool[np.ndarray, " closer"] | None = None, late: int = LATE, rank: int = 0
) -> Interaction:
    """The path whose interaction has this rank (0: the largest) on one half of the documents, on the other half.

    nested, late: other labels, and another time at which the path is tested, for controls.
    """
    nested = one.nested if nested is None else nested
    lost, chooses = one.odds[:, :1] - one.odds[:, 1:], random_half(one.document)  # [time, path, closer]
    like = likeness(one, LATE)
    weights = matched(nested, like, chooses)
    on_half = adjusted(lost[LATE] - lost[EARLY], weights, like) @ weights
    path = int(np.argsort(-on_half, kind="stable")[rank])
    least = int(np.argmin(on_half))
    like = likeness(one, late)
    weights = matched(nested, like, ~chooses)
    moved = adjusted((lost[late] - lost[EARLY])[[path, least]], weights, like)
    value, influence = contrast(weights, moved[0], one.document)
    size = np.array([*influence.values()])
    se = float(np.sqrt(len(size) / (len(size) - 1) * (size**2).sum()))
    groups = {
        f"{name}, {time}": float((sign * weights).clip(0) @ lost[at, path])
        for name, sign in (("nested", 1), ("controls", -1))
        for time, at in (("early", EARLY), ("late", late))
    }
    spread = like[~chooses].std(0)
    apart = weights @ like / np.where(spread > 0, spread, 1)
    names = ("distance", "position", "clean log-odds early", "clean log-odds late")
    balance = dict(zip(names, apart.tolist(), strict=True))
    return Interaction(
        one.paths[path],
        value,
        se,
        _p(value, se, len(size)),
        influence,
        float(on_half[path]),
        groups,
        balance,
        one.paths[least],
        float(moved[1] @ weights),
    )


def likeness(one: Closers, late: int) -> Float[np.ndarray, "closer 4"]:
    """What controls are matched on: distance and position (logarithms), and clean log-odds at both times."""
    return np.stack([np.log(one.distance), np.log(one.pos), one.odds[EARLY, 0], one.odds[late, 0]], axis=1)


def pooled(of_runs: list[Interaction]) -> Pooled:
    """The mean over runs, with errors clustered two ways, by document (over all runs) and by run.

    V = V_document + V_run - V_(document in run), at least V_document (Cameron, Gelbach and Miller 2011). p is two-sided
    of Student's t, with a degree of freedom for each document but one.
    """
    count, values = len(of_runs), np.array([one.value for one in of_runs])
    documents = sorted({document for one in of_runs for document in one.influence})
    by_document = np.array([sum(one.influence.get(d, 0.0) for one in of_runs) for d in documents]) / count
    variance = len(documents) / (len(documents) - 1) * (by_document**2).sum()
    if count > 1:
        within = sum(one.se**2 for one in of_runs) / count**2
        variance += max(0.0, values.var(ddof=1) / count - within)
    value, se = float(values.mean()), float(np.sqrt(variance))
    critical = float(stats.t.ppf(0.975, len(documents) - 1)) * se
    return Pooled(value, se, _p(value, se, len(documents)), critical)


def _p(value: float, se: float, documents: int) -> float:
    return float(2 * stats.t.sf(abs(value) / se, documents - 1)) if se > 0 else 1.0


def _met(interaction: Pooled | Interaction) -> bool:
    return interaction.value > 0 and interaction.p < 0.05


def _controls(used: list[Closers], untrained: list[Closers]) -> tuple[Control, ...]:
    """Closers' groups exchanged within documents; a path like most; the untrained model, where a run has it.

    An untrained model's log-odds differ a little between the groups under any cut, since their wrong closers do: so it
    stands in place of the last checkpoint, not by itself.
    """
    generator = np.random.default_rng(0)
    shuffled = [
        pooled([tested(one, nested=one.nested[permuted(generator, one.document)]) for one in used])
        for _ in range(SHUFFLES)
    ]
    passing = sum(_met(interaction) for interaction in shuffled)
    middling = pooled([tested(one, rank=len(one.paths) // 2) for one in used])
    value, p = (float(np.median([getattr(interaction, part) for interaction in shuffled])) for part in ("value", "p"))
    controls = [
        Control(f"nested and unnested exchanged ({passing} of {SHUFFLES} pass; medians)", value, p, passing > ALLOWED),
        Control("the path of the median interaction", middling.value, middling.p, _met(middling)),
    ]
    if untrained:
        first = pooled([tested(one, late=FIRST) for one in untrained])
        controls.append(Control("the untrained model in place of the last", first.value, first.p, _met(first)))
    return tuple(controls)


def _units(used: list[Closers]) -> str:
    tests = [~random_half(one.document) for one in used]
    closers = sum(int((one.nested & test).sum()) for one, test in zip(used, tests, strict=True))
    documents = {int(d) for one, test in zip(used, tests, strict=True) for d in one.document[one.nested & test]}
    names = ", ".join(one.name for one in used)
    return f"{closers} nested closers, {len(documents)} documents, {len(used)} seeds ({names})"


def _details(one: Closers, interaction: Interaction | None) -> dict:
    nested = one.odds[:, 0, one.nested]
    clean = {"early": float(nested[EARLY].mean()), "late": float(nested[LATE].mean())}
    counts = {"nested closers": int(one.nested.sum()), "unnested closers": int((~one.nested).sum())}
    tested_on = {} if interaction is None else {k: v for k, v in interaction._asdict().items() if k != "influence"}
    return {"clean log-odds, nested": clean, **counts, **tested_on}


def _sentence(one: Closers, interaction: Interaction | None) -> str:
    if interaction is None:
        right = float((one.odds[LATE, 0, one.nested] > 0).mean()) if one.nested.any() else 0.0
        return f"{one.name}: {int(one.nested.sum())} nested closers, {100 * right:.0f}% right, too few to test"
    lost, swapped = interaction.groups, interaction.least_value < -interaction.value / 2
    return (
        f"{one.name}: cutting {interaction.path} costs {lost['nested, early']:.2f} nats early and "
        f"{lost['nested, late']:.2f} late at nested closers, {lost['controls, early']:.2f} and "
        f"{lost['controls, late']:.2f} at their controls; "
        f"{'it takes the place of' if swapped else 'most negative is'} {interaction.least} "
        f"({interaction.least_value:+.2f})"
    )
