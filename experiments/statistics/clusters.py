"""Whether clusters of curves coincide with types: three ways to cluster, and the permutation test of the Rand index."""

import itertools
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int, Shaped
from scipy.cluster.hierarchy import cut_tree, linkage
from scipy.spatial.distance import pdist

from ablations.not_measurable import NotMeasurable
from experiments.statistics.permutation import LIMIT, distinct, p_value, permutations

Method = Literal["k-means", "hierarchical", "DTW"]
Scaling = Literal["raw", "standardised", "min-max"]


class RandTest(NamedTuple):
    """Adjusted Rand indices summed over groups with their weights, against types permuted within each."""

    value: float
    mean: float  # of the groups with their weights, 1 where clusters are the types, 0 by chance
    p: float  # one-sided
    null: Float[np.ndarray, " draw"]  # sums under permutation, without the observed one
    exact: bool
    each: tuple[float, ...]


def scaled(curves: Float[np.ndarray, "head step"], scaling: Scaling) -> Float[np.ndarray, "head step"]:
    """Each curve as it is, with mean 0 and standard deviation 1, or from 0 to 1; constant curves become 0."""
    if scaling == "raw":
        return curves
    lowest = curves.mean(1, keepdims=True) if scaling == "standardised" else curves.min(1, keepdims=True)
    size = curves.std(1, keepdims=True) if scaling == "standardised" else np.ptp(curves, axis=1, keepdims=True)
    return np.divide(curves - lowest, size, out=np.zeros_like(curves), where=size > 1e-12 * np.abs(curves).max())


def cluster(
    curves: Float[np.ndarray, "head step"], k: int, method: Method = "k-means", scaling: Scaling = "raw", seed: int = 0
) -> Int[np.ndarray, " head"]:
    """k clusters, numbered by their first head. Hierarchical: Ward. DTW: average linkage of warped distances.

    Raises ValueError where k is not between 1 and the number of heads, or a value is not finite, and NotMeasurable
    where the curves have fewer different ones than k.
    """
    if not 1 <= k <= len(curves):
        raise ValueError(f"k={k} clusters of {len(curves)} heads: k lies between 1 and the number of heads")
    if not np.isfinite(curves).all():
        raise ValueError("a curve has values that are not finite: leave out that head or step")
    points = scaled(curves, scaling)
    if k == 1 or k == len(points):
        return np.arange(len(points)) if k > 1 else np.zeros(len(points), dtype=np.int64)
    if method == "k-means":
        return k_means(points, k, seed=seed)
    if method == "hierarchical":
        return linked(pdist(points), k, "ward")
    return linked(warped_distances(points), k, "average")


def k_means(
    points: Float[np.ndarray, "head step"], k: int, restarts: int = 200, seed: int = 0
) -> Int[np.ndarray, " head"]:
    """The labels with the smallest sum of squares of many starts (k-means++), by scikit-learn.

    On the committed curves (two to five clusters of eight heads) 200 starts found the best of all partitions in 503 of
    504 cases.
    """
    from sklearn.cluster import KMeans  # takes a second to import

    if len(np.unique(points, axis=0)) < k:
        raise NotMeasurable(f"k={k} clusters were not found: the curves have fewer different ones")
    return _by_first(KMeans(k, n_init=restarts, random_state=seed).fit_predict(points))


def linked(distances: Float[np.ndarray, " pair"], k: int, way: Literal["ward", "average"]) -> Int[np.ndarray, " head"]:
    """The k clusters of a tree of pairwise distances (in the order of `pdist`); ward needs Euclidean ones."""
    return _by_first(cut_tree(linkage(distances, way), n_clusters=[k])[:, 0])


def _by_first(labels: np.ndarray) -> np.ndarray:
    """Labels renumbered in the order of their first head."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse].astype(np.int64)


def warped_distances(curves: Float[np.ndarray, "head step"]) -> Float[np.ndarray, " pair"]:
    """Dynamic time warping of all pairs, in the order of `pdist`, without a window.

    d(x, y)^2 is the least sum of (x_i - y_j)^2 along a path of (i, j) from both starts to both ends that moves by
    (1, 0), (0, 1) or (1, 1) (Sakoe and Chiba 1978). Cells of one antidiagonal depend on earlier ones only, so that each
    is one operation for all pairs.
    """
    heads, steps = curves.shape
    first, second = np.triu_indices(heads, 1)
    cost = (curves[first][:, :, None] - curves[second][:, None, :]) ** 2  # [pair, i, j]
    least = np.full((len(first), steps + 1, steps + 1), np.inf)
    least[:, 0, 0] = 0.0
    for total in range(2, 2 * steps + 1):
        i = np.arange(max(1, total - steps), min(steps, total - 1) + 1)
        j = total - i
        came = np.minimum(np.minimum(least[:, i - 1, j], least[:, i, j - 1]), least[:, i - 1, j - 1])
        least[:, i, j] = cost[:, i - 1, j - 1] + came
    return np.sqrt(least[:, -1, -1])


def adjusted_rand(labels: Shaped[np.ndarray, " head"], types: Shaped[np.ndarray, " head"]) -> float:
    """Agreement of two partitions: (index - expected) / (largest - expected), Hubert and Arabie (1985).

    The index counts pairs that are together in both, the expectation is over all permutations, the largest is the mean
    of the pairs together in either. 1 for two partitions that are both trivial in the same way.
    """
    return float(_rand_of_orders(labels, types, np.arange(len(labels))[None])[0])


def _rand_of_orders(labels: np.ndarray, types: np.ndarray, orders: np.ndarray) -> np.ndarray:
    """Adjusted Rand index of labels with types[order] for each order: only the pairs together in both change.

    scikit-learn has it for one order (the tests hold this against it); here are thousands at once.
    """
    first, second = np.triu_indices(len(labels), 1)
    together, alike = labels[first] == labels[second], types[first] == types[second]
    expected = together.sum() * alike.sum() / max(1, len(first))
    largest = (together.sum() + alike.sum()) / 2
    if largest == expected:
        return np.ones(len(orders))
    moved = types[orders]
    return ((moved[:, first] == moved[:, second]) @ together.astype(float) - expected) / (largest - expected)


@lru_cache(maxsize=64)
def _arrangements(codes: tuple[int, ...], draws: int, seed: int) -> np.ndarray:
    """Index arrays, the identity first; kept, since many clusterings are held against the same types."""
    rest = permutations(np.zeros(len(codes), dtype=int), draws, seed, like=np.array(codes))
    return np.stack([np.arange(len(codes)), *rest])


def summed_rand(
    groups: Sequence[tuple[Shaped[np.ndarray, " _"], Shaped[np.ndarray, " _"]]],
    weights: Sequence[float] | None = None,
    draws: int = 9999,
    seed: int = 0,
) -> RandTest:
    """Tests whether clusters follow types. groups: (cluster labels, types) of the heads of one layer of one seed each.
    weights: of the groups in the sum, above 0 (default: 1 each).

    Types are permuted within groups. Every arrangement of a group's types is counted where there are fewer than
    `LIMIT`; so is every combination of the groups', else draws combine the groups' at random. Raises NotMeasurable
    without any group.
    """
    if not groups:
        raise NotMeasurable("no group of heads: a layer with at least two types of two heads each is needed")
    orders = []
    for place, (labels, types) in enumerate(groups):
        codes = np.unique(types, return_inverse=True)[1]
        orders.append((labels, codes, _arrangements(tuple(codes.tolist()), draws, seed + place)))
    share = np.ones(len(groups)) if weights is None else np.array(weights, dtype=float)
    each = [_rand_of_orders(*group) for group in orders]  # the first is the observed one
    chances = [weight * values for weight, values in zip(share.tolist(), each, strict=True)]
    exact = bool(np.prod([distinct(np.zeros(len(types)), types) for _, types in groups]) < LIMIT)
    if exact:
        null = np.array([sum(values) for values in itertools.product(*chances)])[1:]
    else:
        generator = np.random.default_rng(seed)
        null = np.sum([generator.choice(values, draws) for values in chances], axis=0)
    value = float(sum(values[0] for values in chances))
    observed = tuple(float(values[0]) for values in each)
    return RandTest(value, value / float(share.sum()), p_value(value, null), null, exact, observed)
