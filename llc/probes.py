"""Losses of single tokens along chains, as moments over draws: what susceptibilities, influences and the loss kernel
are made of (covariances.py).

At every few draws after the burn-in the loss of every probe token is taken, forward only, at the position where the
draw was measured. Sums over draws are kept for each chain, so that memory does not grow with the draws. All losses are
rises above those at the center, in nats.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ablations.forward import check_targets, check_tokens
from ablations.models import Config
from llc.kernel import Positions
from llc.losses import Tokens

TokenLosses = Callable[[Positions], Float[Tensor, "chain row predicted"]]
MOST_ROWS = 1024  # of which covariances between rows are kept
DIMS = ("probe_row", "predicted")


class Probes(NamedTuple):
    """Text whose tokens' losses are followed along chains that sample with other text, or the same."""

    tokens: Tokens  # [row, pos]; every token but a row's first is a probe
    every: int = 4  # draws from one evaluation to the next
    weights: Float[Tensor, "row predicted"] | None = None  # of the tokens in the loss that each is held against; all
    # alike unless given

    def check(self, cfg: Config) -> None:
        """Raises ValueError for probes that the model cannot read, or that hold nothing against each other."""
        check_tokens(cfg, self.tokens)
        check_targets(cfg, self.tokens[:, 1:])
        if self.every < 1:
            raise ValueError(f"every={self.every}: evaluate probes at every draw (1) or more seldom")
        self.share()

    def share(self) -> Float[Tensor, "row predicted"]:
        """The tokens' shares in the loss that each is held against; they add up to 1."""
        shape = [len(self.tokens), self.tokens.shape[1] - 1]
        weights = torch.ones(shape) if self.weights is None else self.weights
        if list(weights.shape) != shape:
            raise ValueError(f"weights {list(weights.shape)} of probes: give one for each predicted token, {shape}")
        if not bool((weights >= 0).all()) or not 0 < float(weights.sum()) < float("inf"):
            raise ValueError("weights of probes must be finite and not negative, and one of them positive")
        return weights.double() / weights.double().sum()


class Moments:
    """Sums over the evaluated draws of each chain."""

    def __init__(
        self, losses: TokenLosses, center: Float[Tensor, " dim"], share: Float[Tensor, "row predicted"]
    ) -> None:
        """losses: of every probe at positions [chain, dim]; share: of each probe in phi, the loss of all."""
        self.losses, self.share = losses, share.to(center.device)
        self.center = losses(center[None])[0].double()
        self.sums: dict[str, Tensor] = {}
        self.draws = 0

    def add(self, positions: Positions) -> None:
        """Takes the losses at these positions."""
        rise = self.losses(positions).double() - self.center
        phi = (rise * self.share).sum((1, 2))
        found = {
            "phi": phi,
            "phi_square": phi**2,
            "probe_rise": rise,
            "probe_square": rise**2,
            "probe_product": phi[:, None, None] * rise,
            "probe_exponential": (-rise).exp(),
        }
        if rise.shape[1] <= MOST_ROWS:
            rows = rise.mean(2)
            found["row_product"] = rows[:, :, None] * rows[:, None, :]
        for name, values in found.items():
            self.sums[name] = self.sums[name] + values if name in self.sums else values
        self.draws += 1

    def variables(self) -> dict[str, tuple[Any, np.ndarray]]:
        """The means over draws by name, with their dims, and what they are relative to."""
        dims = {"row_product": ("chain", "probe_row", "other_row")}
        means = {
            name: (dims.get(name, ("chain", *DIMS)[: values.ndim]), (values / self.draws).cpu().numpy())
            for name, values in self.sums.items()
        }
        return means | {
            "probe_center": (DIMS, self.center.cpu().numpy()),
            "probe_share": (DIMS, self.share.cpu().numpy()),
        }
