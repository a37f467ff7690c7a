"""One minibatch for all heads of a layer: run once with the model's own weights, evaluated for chains of any head.

It is taken in parts (some rows) and groups (some chains), so that what is worked on stays in the cache of a CPU, or
within the memory of a GPU. A group that does not fit in memory is halved.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from llc import head_loss
from llc.head_loss import Layer, Part, Varied
from llc.kernel import PerChain, Positions
from llc.losses import Loss, Tokens
from llc.settings import Settings

CACHE = 2**25  # bytes that a group's activations may take on a CPU
KEPT = 2**30  # bytes of what all heads share of a minibatch that are kept rather than computed for each


@dataclass
class Room:
    """How much is done together."""

    rows: int  # of a part
    chains: int  # of a group; halved where memory runs out
    keep: bool  # whether the parts of a minibatch are kept for all its evaluations


def room(layer: Layer, length: int, settings: Settings, memory: int | None = None) -> Room:
    """For rows of this length. memory: bytes; half for what is kept of a minibatch, half for a group."""
    cfg, item = layer.cfg, layer.reader.element_size()
    heads = 1 if layer.last else cfg.n_heads
    patterns = length if layer.reader.device.type == "cpu" else 0  # GPUs never hold them
    one = item * length * (heads * patterns + 8 * heads * cfg.d_head + 8 * cfg.d_model)  # a row of a chain
    kept = item * settings.batch_size * length * layer.reader.shape[1]
    if layer.reader.device.type == "cpu":
        work, keep = CACHE, KEPT
    else:
        free, _ = torch.cuda.mem_get_info(layer.reader.device)
        work = keep = free // 4
    if memory is not None:
        work, keep = min(work, memory // 2), min(keep, memory // 2)
    fit = max(1, work // one)
    chains = min(settings.num_chains, fit)
    return Room(max(1, min(settings.batch_size, fit // chains)), chains, kept <= keep)


class Minibatch:
    """Losses and gradients of chains of any head of the layer on these rows."""

    def __init__(self, layer: Layer, tokens: Tokens, rows: np.ndarray, loss: Loss, room: Room) -> None:
        """tokens: the rows themselves; rows: their numbers in the data set."""
        self.layer, self.tokens, self.rows, self.loss, self.room = layer, tokens, rows, loss, room
        self.kept = list(self._run()) if room.keep else None
        self.center_loss = sum(part.loss.item() * share for part, share in self._parts())

    def evaluate(self, head: int, positions: Positions, gradient: bool = True) -> tuple[PerChain, Positions]:
        """The mean loss at each position of the head's parameters, and its gradient (NaN when not asked for)."""
        while True:
            try:
                return self._evaluate(head, positions.detach(), gradient)
            except RuntimeError as error:
                self._give_way(error)

    def _evaluate(self, head: int, positions: Positions, gradient: bool) -> tuple[PerChain, Positions]:
        positions.requires_grad_(gradient)
        with torch.set_grad_enabled(gradient):
            varied = head_loss.varied(self.layer, head, positions)
        losses, slopes = positions.new_zeros(len(positions)), [torch.zeros_like(weight) for weight in varied]
        for part, share in self._parts():
            others = head_loss.without(self.layer, part, head)
            for group in self._groups(len(positions)):
                own = Varied(*(weight[group].detach().requires_grad_(gradient) for weight in varied))
                with torch.set_grad_enabled(gradient):
                    values = head_loss.loss(self.layer, part, others, own)
                losses[group] += share * values.detach()
                if gradient:
                    for slope, found in zip(slopes, torch.autograd.grad(values.sum(), own, materialize_grads=True), strict=True):
                        slope[group] += share * found
        if not gradient:
            return losses, torch.full_like(positions, math.nan)
        return losses, torch.autograd.grad(varied, positions, slopes)[0]

    def _groups(self, count: int) -> Iterator[slice]:
        for start in range(0, count, self.room.chains):
            yield slice(start, start + self.room.chains)

    def _give_way(self, error: RuntimeError) -> None:
        """Fewer chains together, or the error again."""
        short = isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
        if not short or self.room.chains == 1:
            raise error
        self.room.chains = max(1, self.room.chains // 2)
        if self.tokens.is_cuda:
            torch.cuda.empty_cache()

    def _parts(self) -> Iterator[tuple[Part, float]]:
        """With the share of each in the mean."""
        for part in self.kept if self.kept is not None else self._run():
            yield part, part.z.shape[0] / len(self.rows)

    def _run(self) -> Iterator[Part]:
        for start in range(0, len(self.rows), self.room.rows):
            some = slice(start, start + self.room.rows)
            tokens = self.tokens[some]
            yield head_loss.part(self.layer, tokens, self.loss.prepare(tokens, self.rows[some]))
