"""Claim 12: kinds of heads are told better by their rLLC curves than by the curves of each of five other measures.

A head's type is that of the nearest mean curve among the heads of the same layer of other seeds. Standardised curves
decide: what one measure's shapes say must not depend on its units; the details say what other scalings find. Each other
measure has a verdict of its own, with p adjusted for the five.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np
import xarray as xr

from ablations.not_measurable import NotMeasurable
from experiments.measurements.variants import SURVIVAL
from experiments.statistics.bootstrap import cluster_bootstrap
from experiments.statistics.permutation import permuted
from experiments.statistics.prediction import accuracies
from experiments.statistics.seeds import holm
from experiments.statistics.seeds.seed_means import seed_mean
from experiments.statistics.shuffles import SHUFFLES, median_of_shuffles
from experiments.study import over_seeds
from experiments.study.final_heads import strata
from experiments.study.measure_curves import MEASURES, NOISE, RLLC, SCALES, features, on_scale
from experiments.study.over_seeds import ALPHA, BySeed
from experiments.study.study import Study
from experiments.study.survival import survival
from experiments.study.verdict import Claim, Control, Finding, Interest, any_fired, below, opposite, verdict

OTHERS = MEASURES[1:]
CLAIMS = {
    measure: Claim(
        number=12,
        name=f"other measures ({measure})",
        statement=f"rLLC curves separate the kinds of heads better than curves of the {measure} do",
        precondition="at least two types with two heads in a layer; two seeds; three shared checkpoints",
        criterion="interval above 0, and p < 0.05 adjusted for the five (Holm)",
        figure="baselines",
        part=part,
    )
    for measure, part in zip(OTHERS, "abcde", strict=True)
}
INTEREST = Interest(0.1, "in accuracy")
FEWEST = 3  # checkpoints: a standardised curve of two is a rise or a fall
Accuracy = Mapping[str, BySeed]  # of each left-out seed, by measure


class Better(NamedTuple):
    """The rLLC against one other measure."""

    by_seed: BySeed  # accuracy by rLLC curves minus that by the other's
    interval: tuple[float, float]  # 95%, whole seeds drawn
    p: float  # sign flips of seeds
    adjusted: float  # the same, adjusted for the five

    @property
    def met(self) -> bool:
        """Whether the criterion is."""
        return self.interval[0] > 0 and self.adjusted < ALPHA


def find(study: Study, measure: str) -> Finding:
    """Curves of the six measures of the judged runs, at the checkpoints that they share."""

    def holds(way: str) -> bool | None:
        heads = features(study, study.judged, way)
        return None if unmet(heads) else against(accuracy(heads), measure).met

    return judge(measure, features(study, study.judged), survival(SURVIVAL, holds))


def accuracy(heads: xr.Dataset, scale: str = SCALES[0]) -> Accuracy:
    """How well each measure's curves tell the types of each left-out seed."""
    labels = (heads.type.values, heads.layer.values, heads.run.values)
    return {measure: accuracies(on_scale(heads, measure, scale), *labels) for measure in MEASURES}


def against(found: Accuracy, measure: str) -> Better:
    """The rLLC against another measure, with p adjusted for all five."""
    differences = [_minus(found[RLLC], found[other]) for other in OTHERS]
    p = [seed_mean(list(by_seed.values())).p for by_seed in differences]
    place = OTHERS.index(measure)
    return Better(differences[place], _drawn(differences[place]), p[place], float(holm.adjusted(p)[place]))


def _minus(first: BySeed, other: BySeed) -> dict[str, float]:
    return {run: value - other[run] for run, value in first.items()}


def _drawn(by_seed: BySeed) -> tuple[float, float]:
    """The interval of the mean when whole seeds are drawn."""
    values = np.array(list(by_seed.values()))
    return cluster_bootstrap(lambda index: float(values[index].mean()), np.arange(len(values)))


def unmet(heads: xr.Dataset) -> list[str]:
    """What of the precondition does not hold, in sentences."""
    types, homes, steps = heads.type.values, strata(heads), heads.sizes["step"]
    counts = [np.unique(types[homes == home], return_counts=True)[1] for home in np.unique(homes)]
    sentences = ["one seed: there is none to leave out"] if len(np.unique(heads.run.values)) < 2 else []
    if not any((count >= 2).sum() >= 2 for count in counts):
        sentences.append("no layer has two types with two heads each")
    if steps < FEWEST:
        sentences.append(f"{steps} shared checkpoints, {FEWEST} are needed")
    return sentences


def judge(measure: str, heads: xr.Dataset, survives: dict[str, str]) -> Finding:
    """The finding against one measure. heads: `features` of the judged runs.

    Raises NotMeasurable where no type of a seed is known from another.
    """
    why, found = unmet(heads), accuracy(heads)
    if not found[RLLC]:
        raise NotMeasurable("; ".join([*why, "no head's type occurs in its layer of another seed"]))
    test = against(found, measure)
    controls = _controls(heads, measure) if not why else ()
    finding = over_seeds.finding(
        CLAIMS[measure],
        test.by_seed,
        statistic="share of heads whose type is predicted from other seeds' (balanced over types of the seed), by "
        f"standardised rLLC curves minus by those of the {measure}; interval from whole seeds drawn",
        interest=INTEREST,
        controls=controls,
        noise=None if measure == NOISE else _minus(found[NOISE], found[measure]),
        survives=survives,
        details=_details(heads, measure, test),
        remarks=[_accuracies(found, measure), f"p adjusted for the five: {test.adjusted:.3g}"],
        untestable=why,
        units=f"{heads.sizes['head']} heads of {len(test.by_seed)} seeds ({', '.join(test.by_seed)}), "
        f"{heads.sizes['step']} checkpoints",
        alpha=ALPHA / len(OTHERS),
    )
    return _by_drawn_seeds(finding, test, controls)


def _by_drawn_seeds(finding: Finding, test: Better, controls: Sequence[Control]) -> Finding:
    """The finding with the interval of drawn seeds.

    Accuracies are shares of a few heads, so that few seeds may have equal ones, and both intervals hardly a width. What
    is contradicted or absent must be so by flips of signs too; and absent by Student's interval of the same mean, since
    drawn seeds spread too little where they are few.
    """
    values = np.array(list(test.by_seed.values()))
    against_it, smaller = (seed_mean(flipped.tolist()).p < ALPHA for flipped in (-values, INTEREST.value - values))
    word = verdict(
        testable=finding.verdict != "not testable",
        met=test.met,
        opposite=against_it and opposite(test.interval, 0.0) and not test.met,
        absent=smaller and all(below(ends, INTEREST.value) for ends in (test.interval, finding.interval)),
        control_fired=any_fired(controls),
    )
    return replace(finding, interval=test.interval, verdict=word)


def _controls(heads: xr.Dataset, measure: str) -> tuple[Control, ...]:
    """The criterion with types shuffled, and with random numbers in place of the rLLCs."""

    def exchanged(seed: int) -> Better:
        order = permuted(np.random.default_rng(seed), strata(heads))
        return against(accuracy(heads.assign(type=("head", heads.type.values[order]))), measure)

    middle = median_of_shuffles(exchanged, order=lambda test: test.p)
    noise = heads.curve.copy(data=heads.curve.values.copy())
    noise[MEASURES.index(RLLC)] = np.random.default_rng(0).standard_normal(noise.shape[1:])
    random = against(accuracy(heads.assign(curve=noise)), measure)
    names = (
        f"types shuffled within layer and seed (the median of {SHUFFLES})",
        "random numbers in place of the rLLCs",
    )
    return tuple(
        Control(name, float(np.mean(list(test.by_seed.values()))), test.p, test.met)
        for name, test in zip(names, (middle, random), strict=True)
    )


def _details(heads: xr.Dataset, measure: str, test: Better) -> dict:
    scales = {scale: accuracy(heads, scale) for scale in SCALES}
    return {
        "p (Holm, of the five)": test.adjusted,
        "interval of Student's t": seed_mean(list(test.by_seed.values())).interval,
        "accuracy by seed": {scale: {m: found[m] for m in (RLLC, measure)} for scale, found in scales.items()},
        "difference": {scale: _summary(against(found, measure)) for scale, found in scales.items()},
        "checkpoints": heads.step.values.tolist(),
    }


def _summary(test: Better) -> dict:
    values = list(test.by_seed.values())
    return {"mean": float(np.mean(values)), "interval": list(test.interval), "p": test.p, "p (Holm)": test.adjusted}


def _accuracies(found: Accuracy, measure: str) -> str:
    first, other = (float(np.mean(list(found[name].values()))) for name in (RLLC, measure))
    return f"mean accuracy: rLLC {first:.2f}, {measure} {other:.2f}"


FINDERS = {claim: partial(find, measure=measure) for measure, claim in CLAIMS.items()}
