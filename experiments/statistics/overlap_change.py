"""How much the tokens that two heads matter most for overlap, and by how much that changes between two snapshots.

Overlap of two heads' lists A and B is their correlation
within strata, tokens alike in target and in decile of the clean loss:

    r = sum_i a_i b_i / sqrt(sum_i a_i^2 sum_i b_i^2),  a_i = [i in A] - share of A in i's stratum,  b_i alike

0 when lists meet as often as chance has it, 1 when they are equal, however many tokens there are. sum_i a_i b_i is
|A and B| minus its mean over permutations within strata (`overlap.shared`). The change of r between two snapshots is
divided by its standard error, clustered by document (linearised), and permuted changes by their standard deviation:
so a pair that met at both snapshots is judged as one that met at neither (Janssen 1997, studentised permutations).
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

DRAWS = 499


class Snapshot(NamedTuple):
    """Which tokens each head matters most for."""

    chosen: Bool[np.ndarray, "head token"]
    strata: Int[np.ndarray, " token"]
    document: Int[np.ndarray, " token"]


class Change(NamedTuple):
    """Overlap of every head of layer 0 with every head of layer 1, late minus early."""

    value: Float[np.ndarray, "first second"]
    se: Float[np.ndarray, "first second"]  # by document, or that of permuted lists where it is larger
    null: Float[np.ndarray, "draw first second"]  # changes of permuted lists

    @property
    def standardised(self) -> Float[np.ndarray, "first second"]:
        return np.divide(self.value, self.se, out=np.zeros_like(self.se), where=self.se > 0)

    @property
    def standardised_null(self) -> Float[np.ndarray, "draw first second"]:
        spread = self.null.std(0)
        return np.divide(self.null, spread, out=np.zeros_like(self.null), where=spread > 0)


def changed(early: Snapshot, late: Snapshot, layer: Int[np.ndarray, " head"], draws: int = DRAWS) -> Change:
    """Late minus early; the snapshots may be of other tokens. Permutations are drawn apart for each snapshot."""
    first, second = layer == 0, layer == 1
    values, parts, null = [], [], []
    for number, at in enumerate((early, late)):
        value, influence = correlation(at, first, second)
        values.append(value)
        parts.append(influence)
        null.append(permuted_correlations(at, first, second, draws, seed=number))
    documents = np.unique(np.concatenate([early.document, late.document]))
    whole = np.zeros((len(documents), *values[0].shape))
    for sign, at, influence in zip((-1, 1), (early, late), parts, strict=True):
        whole[np.searchsorted(documents, np.unique(at.document))] += sign * influence
    se, of_none = np.sqrt(len(documents) / (len(documents) - 1) * (whole**2).sum(0)), null[1] - null[0]
    return Change(values[1] - values[0], np.maximum(se, of_none.std(0)), of_none)


def correlation(
    at: Snapshot, first: Bool[np.ndarray, " head"], second: Bool[np.ndarray, " head"]
) -> tuple[Float[np.ndarray, "first second"], Float[np.ndarray, "document first second"]]:
    """r of every pair, and what each document adds to its error: the derivative of r by the document's weight."""
    residual, order = _residuals(at), np.argsort(at.document, kind="stable")
    cuts = np.flatnonzero(np.diff(at.document[order])) + 1
    by_document = [residual[:, tokens] for tokens in np.split(order, cuts)]
    products = np.stack([part[first] @ part[second].T for part in by_document])
    squares = np.stack([(part**2).sum(1) for part in by_document])  # [document, head]
    one, two = squares[:, first].sum(0)[:, None], squares[:, second].sum(0)[None]
    scale = np.sqrt(one * two)
    scale = np.where(scale > 0, scale, np.inf)
    value = products.sum(0) / scale
    lengths = squares[:, first][:, :, None] / np.maximum(one, 1e-12) + squares[:, second][:, None] / np.maximum(
        two, 1e-12
    )
    return value, products / scale - value * lengths / 2


def permuted_correlations(
    at: Snapshot, first: Bool[np.ndarray, " head"], second: Bool[np.ndarray, " head"], draws: int, seed: int
) -> Float[np.ndarray, "draw first second"]:
    """r when the tokens of layer 1's lists are moved within strata, all lists alike.

    Tokens of a stratum are put in a random order once, and then turned by a random number of places for each draw:
    these turns are a subgroup of all permutations, which is all that a permutation test needs.
    """
    generator = np.random.default_rng(seed)
    index = np.lexsort((generator.random(len(at.strata)), at.strata))
    chosen, strata = at.chosen[:, index], np.unique(at.strata[index], return_inverse=True)[1]
    size = np.bincount(strata)
    start = np.cumsum(size) - size
    inside, length = np.arange(len(strata)) - start[strata], np.sqrt((_residuals(at) ** 2).sum(1))
    share = np.stack([np.bincount(strata, mask, len(size)) for mask in chosen]) / size
    chance = (share[first] * size) @ share[second].T
    masks = np.ascontiguousarray(chosen[first].T, dtype=np.float32)
    which, tokens = np.nonzero(chosen[second])
    home, cuts = strata[tokens], np.searchsorted(which, np.arange(second.sum()))
    start, inside, lengths = start[home], inside[tokens], size[home]
    scale = np.outer(length[first], length[second])
    counts = np.empty((draws, first.sum(), second.sum()))
    for draw in range(draws):
        turned = start + (inside + generator.integers(0, size)[home]) % lengths
        counts[draw] = np.add.reduceat(masks[turned], cuts, axis=0).T
    return (counts - chance) / np.where(scale > 0, scale, np.inf)


def _residuals(at: Snapshot) -> Float[np.ndarray, "head token"]:
    _, home, size = np.unique(at.strata, return_inverse=True, return_counts=True)
    return np.stack([mask - (np.bincount(home, mask, len(size)) / size)[home] for mask in at.chosen])
