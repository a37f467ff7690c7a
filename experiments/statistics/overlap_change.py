"""How much the tokens that two heads matter most for overlap, and by how much that changes between two snapshots.

The overlap of two heads' lists A and B is their correlation within strata, which are tokens alike in target and in
decile of the clean loss:

    r = sum_i a_i b_i / sqrt(sum_i a_i^2 sum_i b_i^2),  a_i = [i in A] - share of A in i's stratum,  b_i alike

0 when lists meet as often as chance has it, 1 when they are equal, however many tokens there are. sum_i a_i b_i is
|A and B| minus its mean over permutations within strata (`overlap.shared`). The change of r between two snapshots is
divided by its standard error, clustered by document (linearised), and permuted changes by their standard deviation:
so a pair that met at both snapshots is judged as one that met at neither (Janssen 1997, studentised permutations).
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from ablations.not_measurable import NotMeasurable

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
    degrees: float = np.inf  # of freedom, of se: documents less one

    @property
    def standardised(self) -> Float[np.ndarray, "first second"]:
        """The change over its standard error; 0 where there is none."""
        return np.divide(self.value, self.se, out=np.zeros_like(self.se), where=self.se > 0)

    @property
    def standardised_null(self) -> Float[np.ndarray, "draw first second"]:
        """The permuted changes over their standard deviation; 0 where they do not vary."""
        spread = self.null.std(0)
        return np.divide(self.null, spread, out=np.zeros_like(self.null), where=spread > 0)


def changed(early: Snapshot, late: Snapshot, layer: Int[np.ndarray, " head"], draws: int = DRAWS) -> Change:
    """The change from early to late; the snapshots may be of other tokens. Each has permutations of its own.

    Raises NotMeasurable where both together have fewer than two documents.
    """
    documents = np.unique(np.concatenate([early.document, late.document]))
    if len(documents) < 2:
        raise NotMeasurable(f"{len(documents)} documents: a standard error needs at least two")
    first, second = layer == 0, layer == 1
    values, influences, null = [], [], []
    for number, snapshot in enumerate((early, late)):
        value, influence = correlation(snapshot, first, second)
        values.append(value)
        influences.append(influence)
        null.append(permuted_correlations(snapshot, first, second, draws, seed=number))
    whole = np.zeros((len(documents), *values[0].shape))
    for sign, snapshot, influence in zip((-1, 1), (early, late), influences, strict=True):
        whole[np.searchsorted(documents, np.unique(snapshot.document))] += sign * influence
    se, permuted = np.sqrt(len(documents) / (len(documents) - 1) * (whole**2).sum(0)), null[1] - null[0]
    return Change(values[1] - values[0], np.maximum(se, permuted.std(0)), permuted, float(len(documents) - 1))


def correlation(
    snapshot: Snapshot, first: Bool[np.ndarray, " head"], second: Bool[np.ndarray, " head"]
) -> tuple[Float[np.ndarray, "first second"], Float[np.ndarray, "document first second"]]:
    """r of every pair, and what each document adds to its error: the derivative of r by the document's weight."""
    residual, order = _residuals(snapshot), np.argsort(snapshot.document, kind="stable")
    cuts = np.flatnonzero(np.diff(snapshot.document[order])) + 1
    by_document = [residual[:, tokens] for tokens in np.split(order, cuts)]
    products = np.stack([part[first] @ part[second].T for part in by_document])
    squares = np.stack([(part**2).sum(1) for part in by_document])  # [document, head]
    sum_first, sum_second = squares[:, first].sum(0)[:, None], squares[:, second].sum(0)[None]
    scale = np.sqrt(sum_first * sum_second)
    scale = np.where(scale > 0, scale, np.inf)
    value = products.sum(0) / scale
    lengths = squares[:, first][:, :, None] / np.maximum(sum_first, 1e-12)
    lengths = lengths + squares[:, second][:, None] / np.maximum(sum_second, 1e-12)
    return value, products / scale - value * lengths / 2


def permuted_correlations(
    snapshot: Snapshot, first: Bool[np.ndarray, " head"], second: Bool[np.ndarray, " head"], draws: int, seed: int
) -> Float[np.ndarray, "draw first second"]:
    """r of every pair when the tokens of layer 1's lists are moved within strata, all lists alike.

    Tokens of a stratum are put in a random order once, and then turned by a random number of places for each draw:
    these turns are a subgroup of all permutations, which is all that a permutation test needs.
    """
    generator = np.random.default_rng(seed)
    index = np.lexsort((generator.random(len(snapshot.strata)), snapshot.strata))
    chosen, strata = snapshot.chosen[:, index], np.unique(snapshot.strata[index], return_inverse=True)[1]
    size = np.bincount(strata)
    start = np.cumsum(size) - size
    inside, length = np.arange(len(strata)) - start[strata], np.sqrt((_residuals(snapshot) ** 2).sum(1))
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


def _residuals(snapshot: Snapshot) -> Float[np.ndarray, "head token"]:
    """Whether a token is in each head's list, less the list's share of the token's stratum."""
    _, home, size = np.unique(snapshot.strata, return_inverse=True, return_counts=True)
    return np.stack([mask - (np.bincount(home, mask, len(size)) / size)[home] for mask in snapshot.chosen])
