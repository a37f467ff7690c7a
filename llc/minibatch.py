"""One minibatch for all heads of a layer: run once with the model's own weights, evaluated for chains of any head.

The work is cut into parts (some rows) and groups (some chains), so that its activations stay in the cache of a CPU, or
within the memory of a GPU. A group that does not fit in memory is halved.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ablations.forward import HeadWeights
from llc import head_loss
from llc.cross_entropy import token_losses
from llc.head_loss import Layer, Others, Part, Varied
from llc.kernel import PerChain, Positions
from llc.losses import Loss, Tokens

CACHE = 2**25  # bytes that a group's activations may take on a CPU
KEPT = 2**31  # bytes of what all heads share of a minibatch that are kept rather than computed for each


@dataclass
class Room:
    """How much is computed together."""

    rows: int  # of a part
    chains: int  # of a group; halved where memory runs out
    keep: bool  # whether the parts of a minibatch are kept for all its evaluations


def room(layer: Layer, rows: int, length: int, chains: int, memory: int | None = None) -> Room:
    """How much of a minibatch of `rows` rows of `length` tokens is computed together, for `chains` chains of a head.

    memory: bytes, half of them for what is kept and half for a group; what suits the machine unless given.
    """
    cfg, item, device = layer.cfg, layer.reader.element_size(), layer.reader.device
    heads = 1 if layer.into_logits else cfg.n_heads
    patterns = 0 if device.type == "cuda" else length  # its attention never holds them
    hidden = 0 if cfg.attn_only or layer.into_logits else 4 * int(cfg.d_mlp or 0)
    row_of_chain = item * length * (heads * patterns + 8 * heads * cfg.d_head + 8 * cfg.d_model + hidden)
    kept = 2 * item * rows * length * layer.reader.shape[1]  # with and without a head
    work, keep = CACHE, KEPT
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        work = keep = free // 4
    if memory is not None:
        work, keep = min(work, memory // 2), min(keep, memory // 2)
    fit = max(1, work // row_of_chain)
    together = min(chains, fit)
    parts = math.ceil(rows / max(1, fit // together))
    return Room(math.ceil(rows / parts), together, kept <= keep)


def short_of_memory(error: BaseException) -> bool:
    """Whether PyTorch says that memory ran out: a GPU's, or the machine's."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


class Minibatch:
    """Losses and gradients of chains of any head of the layer on these rows."""

    def __init__(self, layer: Layer, tokens: Tokens, rows: np.ndarray, loss: Loss, room: Room) -> None:
        """Runs the rows with the model's own weights. tokens: the rows; rows: their numbers in the data set."""
        self.layer, self.tokens, self.rows, self.loss, self.room = layer, tokens, rows, loss, room
        self.kept = list(self._run()) if room.keep else None
        self.current: tuple[int, list[tuple[Part, Others, float]]] = (-1, [])
        self.center_loss = sum(part.loss.item() * share for part, share in self._parts())

    def evaluate(self, head: int, positions: Positions, gradient: bool = True) -> tuple[PerChain, Positions]:
        """The mean loss in nats at each position of the head's parameters, and its gradient (NaN if not asked for)."""
        while True:
            try:
                return self._evaluate(head, positions.detach(), gradient)
            except RuntimeError as error:
                self._give_way(error)

    def token_losses(self, head: int, positions: Positions) -> Float[Tensor, "chain row predicted"]:
        """The loss of each token in nats at each position of the head's parameters."""
        while True:
            try:
                return self._token_losses(head, positions.detach())
            except RuntimeError as error:
                self._give_way(error)

    @torch.no_grad()
    def _token_losses(self, head: int, positions: Positions) -> Float[Tensor, "chain row predicted"]:
        weights, folded = head_loss.varied(self.layer, head, positions)
        losses = positions.new_empty(len(positions), len(self.tokens), self.tokens.shape[1] - 1)
        done = 0
        for part, others, _ in self._without(head):
            rows = slice(done, done + part.z.shape[0])
            for group in self._groups(len(positions)):
                own = Varied(HeadWeights(*(weight[group] for weight in weights)), folded[group])
                found = head_loss.loss(self.layer, part, others, own, of=token_losses)
                losses[group, rows] = found.view(len(found), -1, losses.shape[2])
            done = rows.stop
        return losses

    def _evaluate(self, head: int, positions: Positions, gradient: bool) -> tuple[PerChain, Positions]:
        positions.requires_grad_(gradient)
        with torch.set_grad_enabled(gradient):
            weights, folded = head_loss.varied(self.layer, head, positions)
        varied = (*weights, folded)
        losses, totals = positions.new_zeros(len(positions)), [torch.zeros_like(weight) for weight in varied]
        for part, others, share in self._without(head):
            for group in self._groups(len(positions)):
                own = [weight[group].detach().requires_grad_(gradient) for weight in varied]
                with torch.set_grad_enabled(gradient):
                    values = head_loss.loss(self.layer, part, others, Varied(HeadWeights(*own[:-1]), own[-1]))
                losses[group] += share * values.detach()
                if gradient:
                    gradients = torch.autograd.grad(values.sum(), own, materialize_grads=True)
                    for total, added in zip(totals, gradients, strict=True):
                        total[group] += share * added
        if not gradient:
            return losses, torch.full_like(positions, math.nan)
        return losses, torch.autograd.grad(varied, positions, totals)[0]

    def _groups(self, count: int) -> Iterator[slice]:
        for start in range(0, count, self.room.chains):
            yield slice(start, start + self.room.chains)

    def _give_way(self, error: RuntimeError) -> None:
        """Halves the number of chains in a group where memory ran out; raises the error again where it cannot help."""
        if not short_of_memory(error) or self.room.chains == 1:
            raise error
        self.room.chains = max(1, self.room.chains // 2)
        if self.tokens.is_cuda:
            torch.cuda.empty_cache()

    def _without(self, head: int) -> Iterable[tuple[Part, Others, float]]:
        """Each part, the same without the head, and its share in the mean; kept until another head is asked for."""
        if self.current[0] != head:
            parts = ((part, head_loss.without(self.layer, part, head), share) for part, share in self._parts())
            if not self.room.keep:
                return parts
            self.current = head, list(parts)
        return self.current[1]

    def _parts(self) -> Iterator[tuple[Part, float]]:
        """The parts of the minibatch, each with its share in the mean."""
        for part in self.kept if self.kept is not None else self._run():
            yield part, part.z.shape[0] / len(self.rows)

    def _run(self) -> Iterator[Part]:
        for start in range(0, len(self.rows), self.room.rows):
            rows = slice(start, start + self.room.rows)
            tokens = self.tokens[rows]
            yield head_loss.run_part(self.layer, tokens, self.loss.prepare(tokens, self.rows[rows]))
