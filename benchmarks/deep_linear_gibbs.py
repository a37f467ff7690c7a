"""The exact posterior of a deep linear network at any nbeta, by Gibbs sampling: the reference at singular points.

Given all other factors the loss |A W B - M|^2 is quadratic in a factor W, so W's conditional is normal: independent
entries in the bases of the singular vectors of A and B. No step size, no gradient; only for deep linear networks.
"""

import numpy as np
import torch
import xarray as xr
from deep_linear_points import Point
from torch import Tensor

from llc.settings import Settings


def rises(point: Point, settings: Settings, seed: int) -> np.ndarray:
    """Losses [chain, draw] under exp(-nbeta L - (localization / 2) |w - w*|^2), from the point on."""
    generator = torch.Generator().manual_seed(seed)
    factors = [factor.repeat(settings.num_chains, 1, 1) for factor in point.factors]
    target, losses = point.product, []
    for _ in range(settings.num_draws):
        for layer, center in enumerate(point.factors):
            above, below = _product(factors[layer + 1 :]), _product(factors[:layer])
            factors[layer] = _conditional(above, below, center, target, settings, generator)
        product = _product(factors)
        assert product is not None
        losses.append((product - target).square().sum((1, 2)))
    return torch.stack(losses, 1).numpy()


def trace(point: Point, settings: Settings, seed: int) -> xr.Dataset:
    """The same as a trace, for `llc.estimate.learning_coefficient`."""
    losses = rises(point, settings, seed)
    return xr.Dataset(
        {"loss": (("chain", "draw"), losses), "center_loss": ("draw", np.zeros(losses.shape[1]))},
        attrs={"settings": settings.to_json()},
    )


def _product(factors: list[Tensor]) -> Tensor | None:
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
