"""Causal attention of short rows, whose queries are one block: the heads of many rows go through each product together.

The formulas are those of attend.py. Below 65 tokens a product of one row's heads is so small that calling it costs more
than computing it: together, rows of 64 tokens take two thirds of the time, rows of 16 tokens a fifth.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

LONGEST = 64  # tokens of a row
SCORES = 2**18  # that a thread holds in cache together


def short_attention(qkv: Float[Tensor, "batch pos 3 head d_head"]) -> Float[Tensor, "batch pos head d_head"]:
    """z of scaled queries, keys and values."""
    return _Together.apply(qkv)  # type: ignore[no-any-return]


class _Together(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, qkv: Tensor) -> Tensor:
        query, key, value = packed = _heads_first(qkv.transpose(1, 2))
        z, patterns = torch.empty_like(query), query.new_empty(*query.shape[:2], query.shape[1])
        for some in _groups(patterns):
            scores = torch.baddbmm(future(qkv.shape[1], qkv.dtype, qkv.device), query[some], key[some].transpose(1, 2))
            torch.softmax(scores, -1, out=patterns[some])
            torch.bmm(patterns[some], value[some], out=z[some])
        ctx.save_for_backward(packed, patterns, z)
        ctx.rows = len(qkv)
        return z.unflatten(0, (len(qkv), -1)).transpose(1, 2)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        packed, patterns, z = ctx.saved_tensors
        dz = _heads_first(gradients[0][:, None])[0]
        (query, key, value), total, dpacked = packed, (dz * z).sum(-1, keepdim=True), torch.empty_like(packed)
        dquery, dkey, dvalue = dpacked
        for some in _groups(patterns):
            dscores = torch.baddbmm(total[some], dz[some], value[some].transpose(1, 2), beta=-1).mul_(patterns[some])
            torch.bmm(dscores, key[some], out=dquery[some])
            torch.bmm(dscores.transpose(1, 2), query[some], out=dkey[some])
            torch.bmm(patterns[some].transpose(1, 2), dz[some], out=dvalue[some])
        return dpacked.unflatten(1, (ctx.rows, -1)).permute(1, 3, 0, 2, 4)


def _heads_first(values: Float[Tensor, "batch what pos head d"]) -> Float[Tensor, "what batch_head pos d"]:
    """Rows and heads as one axis, with one copy."""
    return values.permute(1, 0, 3, 2, 4).flatten(1, 2)


def _groups(patterns: Float[Tensor, "batch_head query key"]) -> Iterator[slice]:
    """Heads whose scores stay in cache together."""
    size = max(1, SCORES * torch.get_num_threads() // patterns[0].numel())
    for start in range(0, len(patterns), size):
        yield slice(start, start + size)


@lru_cache
def future(size: int, dtype: torch.dtype, device: torch.device) -> Float[Tensor, "query key"]:
    """What is added to scores so that a query does not see later keys."""
    return torch.full((size, size), float("-inf"), dtype=dtype, device=device).triu(1)
