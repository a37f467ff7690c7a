"""Mean cross-entropy of logits that are never held whole, with its gradient, for many chains at once.

    logits = scale (base + x W) + bias        base and bias are shared by all chains; of low rank, x W is cheap

Value and gradient come from one pass over chunks of tokens, chain by chain, so that a chunk's logits stay in cache.
With p the softmax, y the targets and t the tokens' shares of the mean:

    loss = sum_i t_i (log sum_v exp logits_iv - sum_v y_iv logits_iv),    g_iv = t_i (p_iv - y_iv)
    dx = scale g W^T,    dW = (scale x)^T g,    dscale = sum_v g (base + x W)

Two thirds of the time are the three products. `torch.compile` of the rest saves 5% of the whole on a CPU, for five
seconds of compilation a process, so it is not used.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from llc.losses import SoftTargets, Targets

CHUNK_BYTES = {"cpu": 2**20, "cuda": 2**28}  # of a chunk's logits: cache, or enough work for a launch
TINY = 1e-30  # a probability below it is too near to underflow for its logarithm


class FlatTargets(NamedTuple):
    """The targets that logits are compared with, and the bias of the logits."""

    labels: Int64[Tensor, " token"] | Float[Tensor, "token vocab"]  # tokens, or another model's probabilities
    share: Float[Tensor, " token"]  # of each token in the mean
    entropy: Float[Tensor, ""] | float  # of soft targets
    bias: Float[Tensor, " vocab"]


def flat_targets(prepared: Targets | SoftTargets, bias: Float[Tensor, " vocab"]) -> FlatTargets:
    """Flattens what a loss prepared of a minibatch into what `cross_entropy` takes."""
    if isinstance(prepared, SoftTargets):
        labels = prepared.probabilities.flatten(0, 1)
        return FlatTargets(labels, bias.new_full((len(labels),), 1 / len(labels)), prepared.entropy, bias)
    tokens = prepared.tokens.flatten()
    weights = bias.new_ones(len(tokens)) if prepared.weights is None else prepared.weights.flatten().to(bias)
    return FlatTargets(tokens, weights / len(tokens), 0.0, bias)


def cross_entropy(
    x: Float[Tensor, "chain token rank"],
    weight: Float[Tensor, "chain rank vocab"] | Float[Tensor, "rank vocab"],
    scale: Float[Tensor, "chain token"] | None,
    targets: FlatTargets,
    base: Float[Tensor, "token vocab"] | None = None,
    *,
    bf16: bool = False,
) -> Float[Tensor, " chain"]:
    """The mean cross-entropy of each chain in nats, less the targets' entropy; differentiable in x, scale (None: 1)
    and a weight of the chain's own.

    bf16: the three products as wide as the vocabulary take rounded factors; sums and all else stay as they are.
    """
    return _CrossEntropy.apply(x, weight, scale, targets, base, bf16) - targets.entropy  # type: ignore[no-any-return]


@torch.no_grad()
def token_losses(
    x: Float[Tensor, "chain token rank"],
    weight: Float[Tensor, "chain rank vocab"] | Float[Tensor, "rank vocab"],
    scale: Float[Tensor, "chain token"] | None,
    targets: FlatTargets,
    base: Float[Tensor, "token vocab"] | None = None,
    *,
    bf16: bool = False,
) -> Float[Tensor, "chain token"]:
    """The cross-entropy of each token in nats, whatever its share in the mean, without a gradient."""
    losses = x.new_empty(x.shape[:2])
    for chunk in _by_chunk(x, weight, scale, targets, base, bf16):
        losses[chunk.chain, chunk.part] = chunk.value
    return losses


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, scale: Tensor | None, targets: FlatTargets, base: Tensor | None, bf16: bool
    ) -> Tensor:
        with_gradient = any(ctx.needs_input_grad)
        loss = x.new_zeros(len(x))
        dx = torch.empty_like(x) if with_gradient else None
        dweight = torch.zeros_like(weight) if ctx.needs_input_grad[1] else None
        dscale = torch.empty_like(scale) if with_gradient and scale is not None else None
        for chain, part, own, raw, value, difference in _by_chunk(x, weight, scale, targets, base, bf16):
            share = targets.share[part, None]
            loss[chain] += value @ share[:, 0]
            if dx is None:
                continue
            weighted = share
            if dscale is not None and scale is not None:
                dscale[chain, part] = torch.linalg.vecdot(difference, raw) * share[:, 0]
                weighted = share * scale[chain, part, None]
            difference = difference.to(own.dtype)
            torch.mul(difference @ own.T, weighted, out=dx[chain, part])
            if dweight is not None:
                _add_product((x[chain, part] * weighted).T.to(own.dtype), difference, dweight[chain])
        ctx.save_for_backward(dx, dweight, dscale)
        return loss

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (dloss,) = gradients
        dx, dweight, dscale = ctx.saved_tensors
        by_chain = dloss[:, None, None]
        return (
            dx * by_chain,
            None if dweight is None else dweight * by_chain,
            None if dscale is None else dscale * dloss[:, None],
            None,
            None,
            None,
        )


def _room(x: Tensor, weight: Tensor) -> Float[Tensor, "three token vocab"]:
    """Three arrays of a chunk's size, used again for every chunk: fresh ones would cost their page faults each time."""
    d_vocab = weight.shape[-1]
    size = CHUNK_BYTES.get(x.device.type, CHUNK_BYTES["cpu"]) * torch.get_num_threads() // (d_vocab * x.element_size())
    return x.new_empty(3, min(max(size, 16), x.shape[1]), d_vocab)


def _chunks(tokens: int, size: int) -> Iterator[slice]:
    for start in range(0, tokens, size):
        yield slice(start, min(start + size, tokens))


class Chunk(NamedTuple):
    """Some tokens of one chain; its arrays are used again for the next."""

    chain: int
    part: slice  # of the tokens
    weight: Tensor  # the chain's, rounded where asked for
    raw: Tensor  # base + x weight
    value: Tensor  # the cross-entropy of each token
    difference: Tensor  # softmax(logits) - targets


def _by_chunk(
    x: Tensor, weight: Tensor, scale: Tensor | None, targets: FlatTargets, base: Tensor | None, bf16: bool
) -> Iterator[Chunk]:
    """All chunks of tokens, chain by chain."""
    factor, room = weight.bfloat16() if bf16 else weight, _room(x, weight)
    for part in _chunks(x.shape[1], room.shape[1]):
        for chain in range(len(x)):
            own = factor[chain] if weight.ndim == 3 else factor
            raw, logits, p = room[:, : part.stop - part.start]
            _product(x[chain, part].to(own.dtype), own, None if base is None else base[part], raw)
            if scale is None:
                torch.add(raw, targets.bias, out=logits)
            else:
                torch.addcmul(targets.bias, raw, scale[chain, part, None], out=logits)
            yield Chunk(chain, part, own, raw, *_softmax(logits, targets.labels[part], p))


def _product(x: Tensor, weight: Tensor, base: Tensor | None, out: Tensor) -> None:
    """Writes base + x weight to `out`."""
    if x.dtype == out.dtype and base is not None:
        torch.addmm(base, x, weight, out=out)
    elif x.dtype == out.dtype:
        torch.mm(x, weight, out=out)
    else:
        torch.add(x @ weight, 0 if base is None else base, out=out)


def _add_product(x: Tensor, difference: Tensor, total: Tensor) -> None:
    """Adds x difference to `total`."""
    if x.dtype == total.dtype:
        total.addmm_(x, difference)
    else:
        total += x @ difference


def _softmax(logits: Tensor, targets: Tensor, out: Tensor) -> tuple[Tensor, Tensor]:
    """The cross-entropy of each token in nats, and softmax(logits) - targets."""
    p = torch.softmax(logits, -1, out=out)
    if targets.ndim == 2:
        total = logits.amax(-1) - p.amax(-1).log()  # log sum exp
        return total - torch.linalg.vecdot(targets, logits), p.sub_(targets)
    right = p.gather(-1, targets[:, None])
    value = -right[:, 0].log()
    if right.min() < TINY:
        value = F.cross_entropy(logits, targets, reduction="none")
    return value, p.scatter_(-1, targets[:, None], right - 1)
