"""Causal attention in blocks of queries, each of which skips the keys it cannot see, with a backward pass by hand.

    z_i = sum_j P_ij v_j,  P = softmax over j <= i of q_i . k_j
    dS = P * (dz v^T - rowsum(dz * z)),  dq = dS k,  dk = dS^T q,  dv = P^T dz

On CPUs this takes a third off the time of a forward and backward pass of scaled_dot_product_attention.
"""

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ablations import attend_short

GROUP = 8  # heads whose scores a thread holds in cache together


def block_attention(qkv: Float[Tensor, "batch pos 3 head d_head"]) -> Float[Tensor, "batch pos head d_head"]:
    """z of scaled queries, keys and values, packed so that neither they nor their gradients are copied apart."""
    if qkv.shape[1] <= attend_short.LONGEST:
        return attend_short.short_attention(qkv)
    return _Blocks.apply(qkv)  # type: ignore[no-any-return]


class _Blocks(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, qkv: Tensor) -> Tensor:
        z, patterns = qkv.new_empty(*qkv.shape[:2], *qkv.shape[3:]), []
        for row, heads in _groups(qkv):
            query, key, value = qkv[row, :, :, heads].permute(1, 2, 0, 3)
            keys, out = key.transpose(1, 2), z[row, :, heads].transpose(0, 1)
            for start, stop in _blocks(qkv.shape[1]):
                scores = torch.bmm(query[:, start:stop], keys[:, :, :stop])
                scores[:, :, start:] += attend_short.future(stop - start, scores.dtype, scores.device)
                pattern = scores.softmax(-1)
                out[:, start:stop] = torch.bmm(pattern, value[:, :stop])
                if ctx.needs_input_grad[0]:
                    patterns.append(pattern)
        ctx.save_for_backward(qkv, z, *patterns)
        return z

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (dz,) = gradients
        qkv, z, *patterns = ctx.saved_tensors
        dqkv, rowsum, blocks = torch.empty_like(qkv), (dz * z).sum(-1), _blocks(qkv.shape[1])
        for number, (row, heads) in enumerate(_groups(qkv)):
            query, key, value = qkv[row, :, :, heads].permute(1, 2, 0, 3)
            dquery, dkey, dvalue = dqkv[row, :, :, heads].permute(1, 2, 0, 3)
            dout, total = dz[row, :, heads].transpose(0, 1), rowsum[row, :, heads].T[:, :, None]
            # backwards, since the last block sees all keys and so sets what the others add to
            for at, (start, stop) in reversed(list(enumerate(blocks))):
                pattern, dz_here = patterns[number * len(blocks) + at], dout[:, start:stop]
                dscores = torch.bmm(dz_here, value.transpose(1, 2)[:, :, :stop])
                dscores.sub_(total[:, start:stop]).mul_(pattern)
                dquery[:, start:stop] = torch.bmm(dscores, key[:, :stop])
                to_keys = torch.bmm(dscores.transpose(1, 2), query[:, start:stop])
                to_values = torch.bmm(pattern.transpose(1, 2), dz_here)
                if at == len(blocks) - 1:
                    dkey.copy_(to_keys)
                    dvalue.copy_(to_values)
                else:
                    dkey[:, :stop] += to_keys
                    dvalue[:, :stop] += to_values
        return dqkv


def _groups(qkv: Tensor) -> Iterator[tuple[int, slice]]:
    """Rows, and heads whose scores stay in cache together."""
    size = GROUP * torch.get_num_threads()
    for row in range(len(qkv)):
        for head in range(0, qkv.shape[3], size):
            yield row, slice(head, head + size)


def _blocks(length: int) -> list[tuple[int, int]]:
    """Queries in blocks; smaller ones skip more keys, larger ones make better matrix products."""
    size = max(64, length // 8)
    return [(start, min(start + size, length)) for start in range(0, length, size)]
