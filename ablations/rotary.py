"""Rotary positions: pairs of a query's or key's first components, turned by an angle that grows with the position.

Su et al. (2021), arXiv:2104.09864; a score then depends on how far apart query and key are.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor


class Rotary(NamedTuple):
    """Sines and cosines of the angles of some positions, each once for either component of its pair."""

    sin: Float[Tensor, "*batch pos rotary_dim"]  # batch: where rows begin at positions of their own
    cos: Float[Tensor, "*batch pos rotary_dim"]
    adjacent: bool  # pairs are (0, 1), (2, 3), ... as in GPT-J, not (0, n/2), (1, n/2 + 1), ... as in GPT-NeoX


def table(rotary_dim: int, n_ctx: int, base: float, adjacent: bool, dtype: torch.dtype) -> Rotary:
    """The angles of all positions of a context, without any scaling for longer ones; TransformerLens's to the bit."""
    precision = torch.float64 if dtype == torch.float64 else torch.float32
    position, pair = torch.arange(n_ctx, dtype=precision), torch.arange(rotary_dim // 2, dtype=precision)
    angles = position[:, None] / (base ** (pair / (rotary_dim / 2)))[None]
    both = angles.repeat_interleave(2, 1) if adjacent else torch.cat((angles, angles), 1)
    return Rotary(both.sin().to(dtype), both.cos().to(dtype), adjacent)


def turned(x: Float[Tensor, "batch some head d_head"], by: Rotary | None) -> Float[Tensor, "batch some head d_head"]:
    """Queries or keys that stand at the last of these positions, turned; as they are without any."""
    if by is None:
        return x
    sin, cos = (angles[..., -x.shape[1] :, None, :] for angles in by[:2])
    varied, rest = x[..., : sin.shape[-1]], x[..., sin.shape[-1] :]
    return torch.cat((varied * cos + _partners(varied, by.adjacent) * sin, rest), -1)


def _partners(x: Tensor, adjacent: bool) -> Tensor:
    """Each pair (a, b) turned by a quarter: (-b, a)."""
    if adjacent:
        a, b = x.unflatten(-1, (-1, 2)).unbind(-1)
        return torch.stack((-b, a), -1).flatten(-2)
    a, b = x.chunk(2, -1)
    return torch.cat((-b, a), -1)
