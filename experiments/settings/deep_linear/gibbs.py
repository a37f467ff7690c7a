"""The exact posterior of a deep linear network at any nbeta, by Gibbs sampling: the reference at singular points.

Given all other factors the loss |A W B - M|^2 is quadratic in a factor W, so W's conditional is normal: independent
entries in the bases of the singular vectors of A and B. No step size, no gradient; only for deep linear networks.
"""

from collections.abc import Sequence

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from llc.settings import Settings


def trace(factors: Sequence[Float[Tensor, "after before"]], settings: Settings, seed: int) -> xr.Dataset:
    """Draws under exp(-nbeta |W_L ... W_1 - M|^2 - (localization / 2) |w - w*|^2), from the factors on, first layer
    first, as a trace for `llc.estimate.learning_coefficient`. M is the factors' own product: they are a minimum.
    """
    generator = torch.Generator().manual_seed(seed)
    chains = [factor.repeat(settings.num_chains, 1, 1) for factor in factors]
    target, losses = _product([*factors]), []
    assert target is not None
    for _ in range(settings.num_draws):
        for layer, center in enumerate(factors):
            above, below = _product(chains[layer + 1 :]), _product(chains[:layer])
            chains[layer] = _conditional(above, below, center, target, settings, generator)
        product = _product(chains)
        assert product is not None
        losses.append((product - target).square().sum((1, 2)))
    drawn = torch.stack(losses, 1).numpy()
    return xr.Dataset(
        {"loss": (("chain", "draw"), drawn), "center_loss": ("draw", np.zeros(drawn.shape[1]))},
        attrs={"settings": settings.to_json()},
    )


def _product(factors: Sequence[Tensor]) -> Tensor | None:
    if not factors:
        return None
    product = factors[0]
    for factor in factors[1:]:
        product = factor @ product
    return product


def _conditional(
    above: Tensor | None,
    below: Tensor | None,
    center: Tensor,
    target: Tensor,
    settings: Settings,
    generator: torch.Generator,
) -> Tensor:
    """A draw of W [chain, out, in] given A = above and B = below (None: the identity)."""
    out, inside = center.shape
    rows, first, left = _svd(above, out, settings.num_chains)  # A = left diag(first) rows^T
    columns, second, right = _svd(None if below is None else below.mT, inside, settings.num_chains)
    pulled = left.mT @ target @ right  # in the bases of the outer sides, where those have a singular value
    pulled = torch.nn.functional.pad(pulled, (0, inside - pulled.shape[2], 0, out - pulled.shape[1]))
    scale = first[:, :, None] * second[:, None]
    precision = 2 * settings.nbeta * scale**2 + settings.localization
    linear = 2 * settings.nbeta * scale * pulled + settings.localization * (rows.mT @ center @ columns)
    noise = torch.randn(precision.shape, generator=generator, dtype=precision.dtype)
    return rows @ (linear / precision + noise / precision.sqrt()) @ columns.mT


def _svd(matrix: Tensor | None, inner: int, chains: int) -> tuple[Tensor, Tensor, Tensor]:
    """Of matrix [chain, outer, inner]: a basis of the inner side, singular values [chain, inner] (zeros where there
    are no more), and the outer vectors [chain, outer, k] that belong to the first of them."""
    if matrix is None:
        eye = torch.eye(inner, dtype=torch.float64).repeat(chains, 1, 1)
        return eye, torch.ones(chains, inner, dtype=torch.float64), eye
    left, values, right = torch.linalg.svd(matrix, full_matrices=True)
    few = values.shape[1]
    return right.mT, torch.nn.functional.pad(values, (0, inner - few)), left[:, :, :few]
