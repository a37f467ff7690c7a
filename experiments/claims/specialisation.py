"""Claim 5: on code, induction heads' rLLCs rise relative to the others', and the induction heads part."""

from typing import NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float, Shaped
from scipy import stats

from experiments.measurements.variants import CODE, MAIN, SURVIVAL
from experiments.results.cells import Cells
from experiments.statistics.bootstrap import cluster_bootstrap
from experiments.statistics.permutation import PermutationTest, permutation_test, smallest_detectable
from experiments.study.study import Study
from experiments.study.survival import not_applicable, survival
from experiments.study.verdict import Claim, Control, Finding, opposite, verdict

CLAIM = Claim(
    number=5,
    name="specialisation",
    statement=(
        "on code, induction heads' rLLCs rise relative to the others', and the induction heads separate from each other"
    ),
    precondition="two induction heads in a layer; code a minority of the training data",
    criterion="both p < 0.05; and the shares of syntax tokens among their most affected tokens differ (p < 0.05)",
    figure="induction-rllcs",
)
MOST_AFFECTED = 200  # tokens of each head


class Heads(NamedTuple):
    """The heads of the last layer of one run."""

    run: str
    names: list[str]
    induction: Bool[np.ndarray, " head"]
    training: Float[np.ndarray, " head"]  # final rLLC on the training text
    code: Float[np.ndarray, " head"]
    syntax: dict[str, tuple[int, int]]  # of each induction head: most affected tokens that are syntax, and all of them


class Parting(NamedTuple):
    """How much further apart (in log rLLC) a pair of heads is on code than on the training text."""

    value: float
    p: float


def find(study: Study) -> Finding:
    """The final rLLCs of the last layer, on the training text and on code."""
    every = [_heads(study, cells, MAIN, CODE) for cells in study.cells]
    names = [cells.run.name for cells in study.judged]

    def holds(way: str) -> bool | None:
        pairs = [heads for heads in every if heads.run in names and heads.induction.sum() >= 2]
        return _holds([_heads(study, cells, way, f"{CODE}, {way}") for cells in study.judged]) if pairs else None

    return judge([heads for heads in every if heads.run in names], survival(SURVIVAL, holds), every)


def judge(judged: list[Heads], survives: dict[str, str], every: list[Heads] | None = None) -> Finding:
    """Pools the runs that have an induction head and others; the parting needs a pair of them."""
    used = [heads for heads in judged if heads.induction.any() and not heads.induction.all()]
    pairs = [heads for heads in used if heads.induction.sum() >= 2]
    rise = _rise(used) if used else None
    parting = _parting(pairs)
    # the smallest of the seeds' p-values, corrected for their number
    syntax = min((min(1.0, len(pairs) * _syntax(heads)) for heads in pairs), default=float("nan"))
    testable = bool(pairs)
    met = testable and rise is not None and rise.p < 0.05 and parting.p < 0.05 and syntax < 0.05
    interval = _interval(used) if used else None
    shuffled = _rise([heads._replace(induction=np.roll(heads.induction, 1)) for heads in used]) if used else None
    control = Control("the next head in the layer in place of each induction head", *_numbers(shuffled))
    return Finding(
        claim=CLAIM,
        statistic="log of rLLC(code) / rLLC(training text), induction heads minus the others of the layer",
        value=rise.value if rise else None,
        interval=interval,
        null=0.0,
        p=rise.p if rise else None,
        units=f"{sum(len(heads.names) for heads in used)} heads of {len(used)} seeds "
        f"({', '.join(heads.run for heads in used)}); "
        f"{len(pairs)} of these with two induction heads",
        smallest_detectable=f"{smallest_detectable(rise.null).critical:.3f} in log ratio" if rise else "none",
        controls=(control,),
        survives=survives if used else not_applicable(),
        details={
            "by run": {heads.run: _details(heads) for heads in every or judged},
            "parting": parting._asdict(),
            "syntax p": syntax,
        },
        diagnosis=_diagnosis(judged, pairs, rise.p if rise else float("nan"), parting, syntax),
        verdict=verdict(
            testable=testable, met=met, opposite=opposite(interval, 0.0), control_fired=met and control.fired
        ),
    )


def _log_ratio(heads: Heads) -> Float[np.ndarray, " head"]:
    return np.log(heads.code / heads.training)


def _joined(used: list[Heads]) -> tuple[np.ndarray, np.ndarray, Shaped[np.ndarray, " head"]]:
    """Log ratios, whether each is an induction head's, and the number of its run."""
    ratios = np.concatenate([_log_ratio(heads) for heads in used])
    labels = np.concatenate([heads.induction for heads in used])
    return ratios, labels, np.repeat(np.arange(len(used)), [len(heads.names) for heads in used])


def _rise(used: list[Heads]) -> PermutationTest:
    """The mean over seeds of the difference; induction heads are permuted within their layer and seed."""
    ratios, labels, runs = _joined(used)
    return permutation_test(lambda index: _difference(ratios, labels[index], runs), runs, like=labels)


def _difference(ratios: np.ndarray, labels: np.ndarray, runs: np.ndarray) -> float:
    by_run = [
        ratios[(runs == run) & labels].mean() - ratios[(runs == run) & ~labels].mean()
        for run in np.unique(runs)
        if 0 < labels[runs == run].sum() < (runs == run).sum()
    ]
    return float(np.mean(by_run)) if by_run else float("nan")


def _interval(used: list[Heads]) -> tuple[float, float]:
    ratios, labels, runs = _joined(used)
    return cluster_bootstrap(
        lambda index: _difference(ratios[index], labels[index], runs[index]),
        np.arange(len(ratios)),
        strata=2 * runs + labels,
    )


def _parting(pairs: list[Heads]) -> Parting:
    """Compares the induction pair with all other pairs of the layer: the share that part at least as much.

    What a kind of heads (induction, others) gains together is taken out first: else every pair of an induction head and
    another would part whenever induction heads rise. A mean over seeds; the null draws one pair of each.
    """
    if not pairs:
        return Parting(float("nan"), float("nan"))
    observed, others = [], []
    for heads in pairs:
        first, second = np.triu_indices(len(heads.names), 1)
        before, own = np.log(heads.training), _log_ratio(heads)
        for kind in (heads.induction, ~heads.induction):
            own[kind] -= own[kind].mean()
        after = before + own
        grown = np.abs(after[first] - after[second]) - np.abs(before[first] - before[second])
        both = heads.induction[first] & heads.induction[second]
        observed.append(grown[both].max())
        others.append(grown[~both])
    generator = np.random.default_rng(0)
    null = np.mean([generator.choice(values, 9999) for values in others], axis=0)
    value = float(np.mean(observed))
    return Parting(value, float((1 + (null >= value).sum()) / (1 + len(null))))


def _syntax(heads: Heads) -> float:
    """Fisher's exact p that the two strongest induction heads have the same share of syntax tokens."""
    (first, all_first), (second, all_second) = list(heads.syntax.values())[:2]
    table = np.array([[first, all_first - first], [second, all_second - second]])
    return float(stats.fisher_exact(table).pvalue)


def _heads(study: Study, cells: Cells, training: str, code: str) -> Heads:
    types = study.types(cells)
    last = f"L{cells.run.config['model']['n_layers'] - 1}"
    names = [name for name in types.restriction.values.tolist() if name.startswith(last)]
    on_text, on_code = (
        study.rllc(cells, way).isel(step=-1).sel(restriction=names).value.values for way in (training, code)
    )
    induction = types.sel(restriction=names).type.values == "induction"
    return Heads(cells.run.name, names, induction, on_text, on_code, _shares(study, cells, names, induction))


def _shares(study: Study, cells: Cells, names: list[str], induction: np.ndarray) -> dict[str, tuple[int, int]]:
    kept: xr.Dataset = study.effects(cells)
    """Of each induction head's most affected tokens: how many have no letter and no digit, and how many there are."""
    decode, shares = cells.run.tokenizer.decode, {}
    for name in np.array(names)[induction].tolist():
        effect = kept.effect.sel(change=name).values
        top = kept.target.values[np.argsort(-effect, kind="stable")[:MOST_AFFECTED]]
        texts = [decode([int(token)], skip_special_tokens=False).strip() for token in top]
        shares[name] = (sum(not any(c.isalnum() for c in text) for text in texts), len(texts))
    return shares


def _holds(judged: list[Heads]) -> bool:
    used = [heads for heads in judged if heads.induction.any()]
    return _rise(used).p < 0.05 and _parting([heads for heads in used if heads.induction.sum() >= 2]).p < 0.05


def _numbers(test: PermutationTest | None) -> tuple[float | None, float | None, bool]:
    return (None, None, False) if test is None else (test.value, test.p, test.p < 0.05)


def _details(heads: Heads) -> dict:
    ratios = dict(zip(heads.names, _log_ratio(heads).tolist(), strict=True))
    return {"log ratios": ratios, "induction heads": _induction(heads), "syntax tokens": heads.syntax}


def _induction(heads: Heads) -> list[str]:
    return np.array(heads.names)[heads.induction].tolist()


def _diagnosis(judged: list[Heads], pairs: list[Heads], rise: float, parting: Parting, syntax: float) -> str:
    counts = "; ".join(f"{heads.run} has {', '.join(_induction(heads)) or 'no induction head'}" for heads in judged)
    if not pairs:
        return f"no layer has two induction heads: {counts}"
    return f"{counts}; rise p = {rise:.3f}, parting p = {parting.p:.3f}, syntax shares p = {syntax:.3g}"
