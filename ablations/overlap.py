"""Do two changes affect the same tokens? Overlap of their effects, held against effects shuffled among like tokens.

The baseline permutes the second effect among tokens of the same stratum (the same target, and the same decile of the
clean loss), so that overlap which comes from tokens being rare or hard does not count. Tokens of one document are not
independent of each other: `share` has an error clustered by document, permutation p-values and `shared`'s z assume
exchangeable tokens.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from ablations.effects import Estimate, clustered


class Overlap(NamedTuple):
    """A measure, what it is by chance, and the share of shuffles that reach it."""

    value: float
    chance: float  # mean over shuffles
    chance_sd: float
    p: float  # one-sided, (1 + shuffles at least as large) / (1 + shuffles)


class Shared(NamedTuple):
    """Tokens that are in the lists of both of two changes, for all pairs."""

    both: Int[np.ndarray, "change change"]
    chance: Float[np.ndarray, "change change"]  # mean over all permutations within strata
    chance_sd: Float[np.ndarray, "change change"]
    z: Float[np.ndarray, "change change"]  # 0 where chance leaves nothing open


def strata(targets: Int[np.ndarray, " token"], clean: Float[np.ndarray, " token"]) -> Int[np.ndarray, " token"]:
    """One number for each pair of a target token and a decile of the clean loss."""
    edges = np.quantile(clean, np.linspace(0.1, 0.9, 9))
    decile = np.searchsorted(edges, clean, side="right")
    return np.unique(targets.astype(np.int64) * 10 + decile, return_inverse=True)[1]


def strongest(effect: Float[np.ndarray, " token"], share: float) -> np.ndarray:
    """Which tokens are among this share with the highest effects (ties: the earlier token)."""
    if not 0 < share < 1:
        raise ValueError(f"share={share}: it lies between 0 and 1")
    chosen = np.zeros(len(effect), dtype=bool)
    chosen[np.argsort(-effect, kind="stable")[: max(1, round(share * len(effect)))]] = True
    return chosen


def jaccard(
    first: Float[np.ndarray, " token"],
    second: Float[np.ndarray, " token"],
    groups: Int[np.ndarray, " token"],
    share: float = 0.01,
    shuffles: int = 200,
    seed: int = 0,
) -> Overlap:
    """|A and B| / |A or B| of the tokens that each change hurts most."""
    one, two = strongest(first, share), strongest(second, share)

    def measure(other: np.ndarray) -> float:
        return float((one & other).sum() / (one | other).sum())

    return _against_chance(measure, two, groups, shuffles, seed)


def shared(chosen: Bool[np.ndarray, "change token"], groups: Int[np.ndarray, " token"]) -> Shared:
    """|A and B| of all pairs of lists (masks), against permutations of one of them within groups, without drawing any.

    In a group of N tokens, of which a are in one list and b in the other, the number in both is hypergeometric: mean
    a b / N, variance a b (N - a) (N - b) / (N^2 (N - 1)). Groups are permuted independently, so both add up.
    """
    _, home = np.unique(groups, return_inverse=True)
    sizes = np.bincount(home).astype(float)
    inside = np.stack([np.bincount(home, mask, len(sizes)) for mask in chosen])
    chance = (inside / sizes) @ inside.T
    spread = inside * (sizes - inside)
    variance = (spread / (sizes**2 * np.maximum(sizes - 1, 1))) @ spread.T  # a group of one token leaves nothing open
    sd, whole = np.sqrt(variance), chosen.astype(float)
    both = (whole @ whole.T).round().astype(np.int64)
    z = np.divide(both - chance, sd, out=np.zeros_like(sd), where=sd > 1e-9)
    return Shared(both, chance, sd, z)


def mass(
    path: Float[np.ndarray, " token"],
    where: np.ndarray,
    groups: Int[np.ndarray, " token"],
    shuffles: int = 200,
    seed: int = 0,
) -> Overlap:
    """The share of a path's harm (its positive effects) that falls on the tokens `where` (a mask)."""
    harm = np.clip(path, 0, None)
    total = harm.sum()
    _check_mask(where, path)
    if total == 0:
        raise ValueError("the path has no positive effect on any token: its share is undefined")
    return _against_chance(lambda chosen: float(harm[chosen].sum() / total), where, groups, shuffles, seed)


def share(
    path: Float[np.ndarray, " token"], where: np.ndarray, documents: Int[np.ndarray, " token"]
) -> tuple[Estimate, Estimate]:
    """Mean effect of the path on the tokens `where` (a mask), and on all others, each with its error clustered by
    document.
    """
    _check_mask(where, path)
    return clustered(path[where], documents[where]), clustered(path[~where], documents[~where])


def _check_mask(where: np.ndarray, path: np.ndarray) -> None:
    """Raises ValueError for what is not a mask of the path's tokens; numbers would be taken for places."""
    if where.dtype != bool or where.shape != path.shape:
        raise ValueError(
            f"a mask of {where.dtype} {list(where.shape)} for effects {list(path.shape)}: give True or False for each"
        )


def _against_chance(measure, chosen: np.ndarray, groups: np.ndarray, shuffles: int, seed: int) -> Overlap:  # type: ignore[no-untyped-def]
    """Shuffles the mask within groups: sorts by group and a random number, which permutes each group in place."""
    generator = np.random.default_rng(seed)
    home = np.argsort(groups, kind="stable")
    drawn = np.empty(shuffles)
    for number in range(shuffles):
        mixed = np.lexsort((generator.random(len(groups)), groups))
        shuffled = np.empty_like(chosen)
        shuffled[home] = chosen[mixed]
        drawn[number] = measure(shuffled)
    value = measure(chosen)
    p = (1 + int((drawn >= value - 1e-12).sum())) / (1 + shuffles)
    return Overlap(value, float(drawn.mean()), float(drawn.std(ddof=1)), p)
