"""Claim 2: heads of one kind share one rLLC curve over training.

Mixed heads are a type here as in the table of types, though they share nothing but being none of the others; the
details say what is found without them.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Shaped

from experiments.measurements.variants import MAIN, SURVIVAL
from experiments.results.cells import Cells
from experiments.statistics.clusters import Method, RandTest, Scaling, cluster, summed_rand
from experiments.statistics.permutation import permuted, smallest_detectable
from experiments.statistics.shuffles import SHUFFLES, median_of_shuffles
from experiments.study.study import Study
from experiments.study.survival import not_applicable, survival
from experiments.study.verdict import Claim, Control, Finding, verdict_of_interval

CLAIM = Claim(
    number=2,
    name="differentiation",
    statement="heads of one kind share one rLLC curve over training",
    precondition="at least two types with two heads in a layer",
    criterion="p < 0.01, on raw and on standardised curves",
    figure="clustering",
)
METHODS: tuple[Method, ...] = ("k-means", "hierarchical", "DTW")
SCALINGS: tuple[Scaling, ...] = ("raw", "standardised", "min-max")
JUDGED: tuple[Scaling, ...] = ("raw", "standardised")  # of the criterion, with k-means
ALPHA = 0.01


class Group(NamedTuple):
    """The heads of one layer of one run that do something, with their types and curves."""

    run: str
    layer: int
    names: list[str]
    types: Shaped[np.ndarray, " head"]
    curves: Float[np.ndarray, "head step"]

    @property
    def testable(self) -> bool:
        """Whether there are at least two types with two heads."""
        return int((np.unique(self.types, return_counts=True)[1] >= 2).sum()) >= 2


def find(study: Study) -> Finding:
    """Types are those at the end of training, curves of all checkpoints that were sampled."""
    every = [group for cells in study.cells for group in groups(study, cells)]

    def holds(way: str) -> bool | None:
        usable = _usable([group for cells in study.judged for group in groups(study, cells, way)])
        return worst(usable).p < ALPHA if usable else None

    untrained = [
        group._replace(curves=group.curves[:, :1])
        for cells in study.cells
        if study.rllc(cells).step.values[0] == 0
        for group in groups(study, cells)
    ]
    return judge(every, [cells.run.name for cells in study.judged], untrained, survival(SURVIVAL, holds))


def groups(study: Study, cells: Cells, way: str = MAIN) -> list[Group]:
    """The heads of each layer; inactive heads, and heads whose curve is not finite, are left out."""
    types, rllc = study.types(cells), study.rllc(cells, way)
    type_of = dict(zip(types.restriction.values.tolist(), types.type.values.tolist(), strict=True))
    curves = rllc.value.transpose("restriction", "step").values
    names, layers = rllc.restriction.values, rllc.layer.values
    active = np.array([type_of[name] != "inactive" for name in names.tolist()], dtype=bool)
    kept = active & np.isfinite(curves).all(1)
    by_layer = []
    for layer in np.unique(layers).tolist():
        inside = kept & (layers == layer)
        of_heads = np.array([type_of[name] for name in names[inside].tolist()], dtype=str)
        by_layer.append(Group(cells.run.name, layer, names[inside].tolist(), of_heads, curves[inside].astype(float)))
    return by_layer


def clusters(group: Group, method: Method = "k-means", scaling: Scaling = "raw") -> Int[np.ndarray, " head"]:
    """The clusters of a group's curves, as many as the group has types."""
    k = len(np.unique(group.types))
    return np.array(_clustered(group.curves.tobytes(), len(group.curves), k, method, scaling), dtype=np.int64)


@lru_cache(maxsize=1024)
def _clustered(curves: bytes, count: int, k: int, method: Method, scaling: Scaling) -> tuple[int, ...]:
    """Clusters are kept, since the same curves are held against types, shuffled types, and those of other groups."""
    return tuple(cluster(np.frombuffer(curves).reshape(count, -1), k, method, scaling).tolist())


def rand(groups: Sequence[Group], method: Method = "k-means", scaling: Scaling = "raw") -> RandTest:
    """The test of clusters against types over groups; types are permuted within each."""
    return summed_rand([(clusters(group, method, scaling), group.types) for group in groups])


def worst(groups: Sequence[Group]) -> RandTest:
    """The test with the largest p among the scalings that the criterion names."""
    return max((rand(groups, "k-means", scaling) for scaling in JUDGED), key=lambda test: test.p)


def judge(
    every: Sequence[Group], judged: Sequence[str], untrained: Sequence[Group], survives: dict[str, str]
) -> Finding:
    """The finding. every: groups of all runs; judged: the runs that the verdict comes from; untrained: step 0 alone."""
    used = _usable([group for group in every if group.run in judged])
    test = worst(used) if used else None
    controls = _controls(used, _usable(untrained))
    met = test is not None and test.p < ALPHA
    interval = _interval(test) if test else None
    limits = smallest_detectable(test.null, ALPHA) if test else None
    return Finding(
        claim=CLAIM,
        statistic="adjusted Rand index of k-means clusters with types, mean over layers and seeds (1: the same, 0: by "
        "chance), of raw or standardised curves, whichever has the larger p; interval from the spread of permutations",
        value=test.mean if test else None,
        interval=interval,
        null=0.0,
        p=test.p if test else None,
        units=f"{sum(len(g.names) for g in used)} heads in {len(used)} layers of "
        f"{len({g.run for g in used})} seeds ({', '.join(dict.fromkeys(g.run for g in used))})",
        smallest_detectable=f"a mean index of {limits.critical / len(used):.2f}" if limits else "none",
        controls=controls,
        survives=survives if used else not_applicable(),
        details=_details(every, used),
        diagnosis=_diagnosis(every, used, judged),
        verdict=verdict_of_interval(testable=bool(used), met=met, interval=interval, controls=controls),
    )


def _usable(groups: Sequence[Group]) -> list[Group]:
    return [group for group in groups if group.testable]


def _interval(test: RandTest) -> tuple[float, float]:
    """The statistic as far off its value as permutations are off their mean, within what the index can be."""
    low, high = np.quantile(test.null, [0.025, 0.975]) - test.null.mean()
    count = len(test.each)
    return max(-1.0, float(test.value - high) / count), min(1.0, float(test.value - low) / count)


def _controls(used: Sequence[Group], untrained: Sequence[Group]) -> tuple[Control, ...]:
    controls = []
    if used:
        middle = median_of_shuffles(
            lambda seed: worst([_shuffled(group, seed) for group in used]), order=lambda test: test.p
        )
        name = f"types shuffled within layer and seed (the median of {SHUFFLES})"
        controls.append(Control(name, middle.mean, middle.p, middle.p < ALPHA))
    if untrained:
        test = rand(untrained)  # one point has no shape to standardise
        runs = ", ".join(dict.fromkeys(group.run for group in untrained))
        controls.append(Control(f"rLLCs of the untrained model ({runs})", test.mean, test.p, test.p < ALPHA))
    return tuple(controls)


def _shuffled(group: Group, seed: int) -> Group:
    order = permuted(np.random.default_rng([seed, group.layer]), np.zeros(len(group.types)))
    return group._replace(types=group.types[order])


def _details(every: Sequence[Group], used: Sequence[Group]) -> dict:
    of_runs = {run: _usable([g for g in every if g.run == run]) for run in dict.fromkeys(g.run for g in every)}
    sets = {"pooled": used, **of_runs}
    without = _usable([_without(group, "mixed") for group in used])
    return {
        "adjusted Rand index": {name: table(some) for name, some in sets.items() if some},
        "without mixed heads": {scaling: _summary(rand(without, "k-means", scaling)) for scaling in JUDGED if without},
        "groups": [_described(group) for group in every],
    }


def table(groups: Sequence[Group]) -> dict[str, dict[str, dict]]:
    """Mean index, p, and the index of each group, by method and scaling."""
    return {method: {scaling: _summary(rand(groups, method, scaling)) for scaling in SCALINGS} for method in METHODS}


def _summary(test: RandTest) -> dict:
    return {"mean": test.mean, "p": test.p, "each": list(test.each)}


def _without(group: Group, kind: str) -> Group:
    kept = group.types != kind
    names = [name for name, keep in zip(group.names, kept, strict=True) if keep]
    return Group(group.run, group.layer, names, group.types[kept], group.curves[kept])


def _described(group: Group) -> dict:
    description: dict = {"run": group.run, "layer": group.layer, "testable": group.testable}
    description["types"] = dict(zip(group.names, group.types.tolist(), strict=True))
    if group.testable:
        description |= {scaling: clusters(group, "k-means", scaling).tolist() for scaling in JUDGED}
    return description


def _diagnosis(every: Sequence[Group], used: Sequence[Group], judged: Sequence[str]) -> str:
    left_out = [f"{g.run} layer {g.layer}" for g in every if g.run in judged and not g.testable]
    parts = [f"fewer than two types with two heads in {', '.join(left_out)}"] if left_out else []
    if used:
        tests = {scaling: rand(used, "k-means", scaling) for scaling in JUDGED}
        parts += [f"{scaling} curves: mean index {test.mean:.2f}, p = {test.p:.3g}" for scaling, test in tests.items()]
    return "; ".join(parts)
