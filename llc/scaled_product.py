"""scale (base + x W) + bias for many chains, with a backward pass that never multiplies anything as wide as W.

dx = scale (g W^T),    dW = (scale x)^T g,    dscale = sum over the width of g (base + x W)
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor


def scaled_product(
    x: Float[Tensor, "chain token rank"],
    weight: Float[Tensor, "chain rank width"],
    scale: Float[Tensor, "chain token"] | None,
    base: Float[Tensor, "token width"],
    bias: Float[Tensor, "pos width"],
) -> Float[Tensor, "chain token width"]:
    """scale (base + x weight) + bias of each chain, differentiable in x, weight and scale (None: 1).

    Tokens are rows of positions, row after row; each row has the same bias.
    """
    return _ScaledProduct.apply(x, weight, scale, base, bias)  # type: ignore[no-any-return]


class _ScaledProduct(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, scale: Tensor | None, base: Tensor, bias: Tensor) -> Tensor:
        raw = torch.baddbmm(base.expand(len(x), -1, -1), x, weight)
        ctx.save_for_backward(x, weight, scale, raw if any(ctx.needs_input_grad) else None)
        rows = raw.unflatten(1, (-1, len(bias)))
        if scale is None:
            return (rows + bias).flatten(1, 2)
        return torch.addcmul(bias, rows, scale.view(*rows.shape[:3], 1)).flatten(1, 2)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (g,) = gradients
        x, weight, scale, raw = ctx.saved_tensors
        dx = torch.bmm(g, weight.mT)
        if scale is None:
            return dx, torch.bmm(x.mT, g), None, None, None
        return dx * scale[:, :, None], torch.bmm((x * scale[:, :, None]).mT, g), torch.linalg.vecdot(g, raw), None, None
