"""The core of a circuit: the paths that are found in every one of several models, heads matched by what they do.

How large it is says little by itself: with many models, or with small circuits, few paths are in all of them. So it is
a share of the mean circuit, and of all paths that are found in any model (the Jaccard index of all circuits), and the
same of random matchings of heads within layers stands beside both.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from ablations.names import Head, Shape, all_heads
from ablations.not_measurable import NotMeasurable
from ablations.paths import Path
from circuits.head_matching import DRAWS, random_matching, renamed


class Share(NamedTuple):
    """A share, and what random matchings give in its place."""

    value: float
    random: Float[np.ndarray, " draw"]

    @property
    def p(self) -> float:
        """The share of random matchings, and the one at hand, that give as much."""
        return float((1 + (self.random >= self.value).sum()) / (1 + len(self.random)))

    @property
    def interval(self) -> tuple[float, float]:
        """Between which 95% of random matchings lie."""
        low, high = np.quantile(self.random, [0.025, 0.975])
        return float(low), float(high)


class Core(NamedTuple):
    """In how many models each path is found, by the names of the model that the others are matched to."""

    found_in: Counter[Path]  # of the paths that are found in any
    models: int
    of_mean: Share  # the size of the core over the mean size of the circuits
    jaccard: Share  # and over that of their union

    @property
    def paths(self) -> list[Path]:
        """Those that are found in every model."""
        return in_all(self.found_in, self.models)


def core(
    circuits: Sequence[Collection[Path]],
    partners: Sequence[Mapping[Head, Head]],
    cfg: Shape,
    draws: int = DRAWS,
    seed: int = 0,
) -> Core:
    """What the circuits of several models have in common.

    Arguments:

        circuits  the paths of each model's circuit, by its own names
        partners  for each model the partner there of each head of the model whose names are used (for that one itself
                  each head)
        cfg       the layers and heads of each
        draws     random matchings: independent permutations of the heads of each layer of each model but the first,
                  which is as random as permuting those of all

    A path of one model is that of another where both ends are partners and it is read through the same input. Raises
    ValueError for fewer than two models, and NotMeasurable where no circuit has a path.
    """
    if len(circuits) < 2 or len(circuits) != len(partners):
        raise ValueError(f"{len(circuits)} circuits and {len(partners)} matchings: give two or more, one for each")
    if not any(circuits):
        raise NotMeasurable("no circuit has a path, so that none can be in all: give at least one that has some")
    counted, generator = found_in(circuits, partners), np.random.default_rng(seed)
    itself = {head: head for head in all_heads(cfg)}
    drawn = [
        _shares(found_in(circuits, [itself, *(random_matching(cfg, generator) for _ in circuits[1:])]), len(circuits))
        for _ in range(draws)
    ]
    values = zip(_shares(counted, len(circuits)), np.array(drawn).T, strict=True)
    return Core(counted, len(circuits), *(Share(value, random) for value, random in values))


def found_in(circuits: Sequence[Collection[Path]], partners: Sequence[Mapping[Head, Head]]) -> Counter[Path]:
    """In how many circuits each path is, by the names of the model whose heads `core` has the partners of."""
    counted: Counter[Path] = Counter()
    for paths, partner in zip(circuits, partners, strict=True):
        back = {theirs: own for own, theirs in partner.items()}
        counted.update(list(dict.fromkeys(renamed(path, back) for path in paths)))
    return counted


def in_all(counted: Mapping[Path, int], models: int) -> list[Path]:
    """The paths that are found in so many models."""
    return [path for path, count in counted.items() if count == models]


def _shares(counted: Counter[Path], models: int) -> tuple[float, float]:
    """The size of the core over the mean size of a circuit, and over that of the union."""
    size = len(in_all(counted, models))
    return size * models / counted.total(), size / len(counted)
