"""Claim 15: how far a component of the token maps parts the heads of the induction circuit from multigram heads.

The maps of all runs on the same tokens are taken together: every head of every run is a row, so that all share their
components. Which component and which sign count is fixed on the first run alone. d' is the difference of the mean
loadings of the circuit's heads (those with the label previous-token or induction) and of multigram heads (with that
label and neither of those), in their standard deviations.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float

from ablations.not_measurable import NotMeasurable
from experiments.results.cells import Cells
from experiments.statistics.maps.separability import d_prime
from experiments.statistics.permutation import permuted
from experiments.study import labelled_heads, over_seeds
from experiments.study.study import Study
from experiments.study.verdict import Claim, Control, Finding, Interest
from llc import token_map

CIRCUIT, MULTIGRAM = ("previous-token", "induction"), "multigram"
INTEREST = Interest(0.5, "d'")
LEADING = 3  # components that are looked at
AGREE = 0.5  # rank correlation of the halves, of the median head


class Heads(NamedTuple):
    """The heads of a run on the components that all runs share."""

    run: str
    names: np.ndarray
    layer: np.ndarray
    circuit: Bool[np.ndarray, " head"]
    multigram: Bool[np.ndarray, " head"]  # and not of the circuit
    loadings: dict[str, Float[np.ndarray, "component head"]]  # by source: "value" (posterior), "noise"
    agreement: float  # median over heads, of the posterior's halves


class Parted(NamedTuple):
    """d' of each run that has two heads of both kinds, on the component that was fixed."""

    component: int
    by_run: dict[str, float]


# A number of each judged run that can be used, by its name.
Statistic = Callable[[Sequence[Heads], Sequence[str]], dict[str, float]]


def heads(study: Study) -> list[Heads]:
    """The heads of all runs; raises NotMeasurable where susceptibilities are not sampled or tokens are not the same."""
    maps = [study.token_map(cells) for cells in study.cells]
    if len({one.attrs["probes"] for one in maps}) > 1:
        raise NotMeasurable("these runs were not probed on the same tokens: their maps share no components")
    loadings = {source: joint([one[source].values for one in maps]) for source in ("value", "noise")}
    every = zip(study.cells, maps, strict=True)
    return [_heads(study, cells, one, {name: found[number] for name, found in loadings.items()})
            for number, (cells, one) in enumerate(every)]  # fmt: skip


def joint(standard: Sequence[Float[np.ndarray, "head token"]]) -> list[Float[np.ndarray, "component head"]]:
    """The loadings of each run's heads on the first components of all heads together."""
    found = token_map.components(np.concatenate(standard).astype(float), LEADING).loadings
    return np.split(found, np.cumsum([len(one) for one in standard])[:-1], axis=1)


def _heads(study: Study, cells: Cells, one: xr.Dataset, loadings: dict[str, np.ndarray]) -> Heads:
    names = one.restriction.values
    types = study.types(cells).sel(restriction=names)
    circuit = np.logical_or.reduce([labelled_heads.labelled(types, label) for label in CIRCUIT])
    multigram = labelled_heads.labelled(types, MULTIGRAM, but=CIRCUIT)
    agreement = float(np.median(one.agreement))
    return Heads(cells.run.name, names, one.layer.values, circuit, multigram, loadings, agreement)


def parted(every: Sequence[Heads], judged: Sequence[str], source: str) -> Parted:
    """d' of the judged runs on the component, with the sign, that part the kinds of the first run most.

    Raises NotMeasurable where the first run has not two heads of both kinds.
    """
    first = every[0]
    if not _has_both(first):
        raise NotMeasurable(f"{first.run} has {_counts(first)}: a component is fixed on two heads of both kinds")
    of_first = [_apart(first, loading) for loading in first.loadings[source]]
    component = int(np.argmax(np.abs(of_first)))
    sign = float(np.sign(of_first[component]))
    used = [one for one in every if one.run in judged and _has_both(one)]
    return Parted(component, {one.run: sign * _apart(one, one.loadings[source][component]) for one in used})


def judge(
    claim: Claim,
    every: Sequence[Heads],
    judged: Sequence[str],
    of_runs: Statistic,
    *,
    statistic: str,
    details: dict,
    remarks: Sequence[str] = (),
) -> Finding:
    """The finding on the mean over seeds of a number of each judged run. every: the heads of all runs, the first of
    which components are fixed on; remarks: what else the diagnosis says.

    Raises NotMeasurable where no judged run has two heads of both kinds.
    """
    return over_seeds.finding(
        claim,
        of_runs(every, judged),
        statistic=statistic,
        interest=INTEREST,
        controls=[control(every, judged, of_runs)],
        details=details,
        remarks=remarks,
        untestable=unusable(every, judged),
    )


def control(every: Sequence[Heads], judged: Sequence[str], statistic: Statistic) -> Control:
    """A statistic of every run with labels exchanged among the heads of a layer of a run."""

    def shuffled(seed: int) -> dict[str, float]:
        generator, moved = np.random.default_rng(seed), []
        for one in every:
            order = permuted(generator, one.layer)
            moved.append(one._replace(circuit=one.circuit[order], multigram=one.multigram[order]))
        return statistic(moved, judged)

    return over_seeds.middle_control("labels shuffled within layer and seed", shuffled)


def unusable(every: Sequence[Heads], judged: Sequence[str]) -> list[str]:
    """Why judged runs cannot be used, a sentence each."""
    reasons = []
    for one in every:
        if one.run in judged and not _has_both(one):
            reasons.append(f"{one.run} has {_counts(one)}")
        if one.run in judged and one.agreement < AGREE:
            reasons.append(f"halves of {one.run} agree by {one.agreement:.2f} in the median head, below {AGREE}")
    return reasons


def _apart(one: Heads, loading: Float[np.ndarray, " head"]) -> float:
    both = one.circuit | one.multigram
    return d_prime(loading[both], one.circuit[both])


def _has_both(one: Heads) -> bool:
    return bool(one.circuit.sum() >= 2 and one.multigram.sum() >= 2)


def _counts(one: Heads) -> str:
    return f"{one.circuit.sum()} heads of the induction circuit and {one.multigram.sum()} multigram heads"
