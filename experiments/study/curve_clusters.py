"""Clusters of the rLLC curves of heads, held against the heads' types."""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Shaped

from experiments.measurements.variants import MAIN, VALUE, Quantity
from experiments.results.cells import Cells
from experiments.statistics.clusters import Method, RandTest, Scaling, cluster, summed_rand
from experiments.study.over_seeds import BySeed
from experiments.study.study import Study

METHODS: tuple[Method, ...] = ("k-means", "hierarchical", "DTW")
SCALINGS: tuple[Scaling, ...] = ("raw", "standardised", "min-max")


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


def groups(study: Study, cells: Cells, way: str = MAIN, quantity: Quantity = VALUE) -> list[Group]:
    """The heads of each layer; inactive heads, and heads whose curve is not finite, are left out."""
    types, rllc = study.types(cells), study.rllc(cells, way)
    type_of = dict(zip(types.restriction.values.tolist(), types.type.values.tolist(), strict=True))
    curves = rllc[quantity].transpose("restriction", "step").values
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
    """The test of clusters against types: the mean over runs of the mean over layers; types are permuted within each
    layer.
    """
    runs = [group.run for group in groups]
    weights = [1 / runs.count(run) / len(set(runs)) for run in runs]
    return summed_rand([(clusters(group, method, scaling), group.types) for group in groups], weights)


def by_seed(groups: Sequence[Group], test: RandTest) -> BySeed:
    """The index of each run, the mean over its layers."""
    runs = np.array([group.run for group in groups])
    return {run: float(np.mean(np.array(test.each)[runs == run])) for run in dict.fromkeys(runs.tolist())}


def usable(groups: Sequence[Group]) -> list[Group]:
    """Those that are testable."""
    return [group for group in groups if group.testable]


def table(groups: Sequence[Group]) -> dict[str, dict[str, dict]]:
    """Mean index, p, and the index of each group, by method and scaling."""
    return {method: {scaling: summary(rand(groups, method, scaling)) for scaling in SCALINGS} for method in METHODS}


def summary(test: RandTest) -> dict:
    """A test as details hold it."""
    return {"mean": test.mean, "p": test.p, "each": list(test.each)}
