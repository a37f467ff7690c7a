"""Shares of kinds of tokens as a bar, with a key to its colours."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from experiments.plots.head_types import KIND_COLORS


class Piece(NamedTuple):
    """A part of a bar."""

    name: str
    colour: str
    width: float = 0.0  # percent of the bar
    share: float = 0.0  # percent of the tokens


def pieces(names: Sequence[str], shares: Float[np.ndarray, " kind"]) -> list[Piece]:
    """The parts of a bar; a token may be of several kinds, so that shares above 100% are shown in proportion."""
    whole = max(1.0, float(shares.sum()))
    return [
        Piece(name, KIND_COLORS[name], 100 * share / whole, 100 * share)
        for name, share in zip(names, shares.tolist(), strict=True)
    ]


def key(names: Sequence[str]) -> list[Piece]:
    """The colours of all kinds."""
    return [Piece(name, KIND_COLORS[name]) for name in names]
