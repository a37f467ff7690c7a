"""Susceptibilities: how a part of a model responds, in its posterior, to more weight on a token or on other text.

With phi = L(w) - L(w*), only the part's weights varying, and l_i the loss of token i,

    chi_i = -Cov(phi, l_i - L)

is (1 / (n beta)) d E[phi] / dh when the data shifts by h towards token i. Negative: more of the token makes phi
smaller, the part expresses it; positive: the part suppresses it. L is the probes' loss, each with its share.
(arXiv:2504.18274; there is no factor n beta, as in devinterp 2's `susceptibilities`.)
"""

import xarray as xr
from jaxtyping import Float
from torch import Tensor

from llc import covariances, intervals
from llc.covariances import Means, of_probes


def susceptibilities(trace: xr.Dataset) -> xr.Dataset:
    """chi_i of every probe [probe_row, predicted] in nats^2, from the chains of the part alone: value, se, half_width.

    trace: of `llc.sample(..., probes=...)` with the part as its restriction, of three chains or more.
    """
    return covariances.covariance(_against_phi(trace))


def shift(trace: xr.Dataset, weights: Float[Tensor, "row predicted"]) -> xr.Dataset:
    """chi of a shift of the data towards the distribution that has these weights on the probes (they are scaled to sum
    1): -Cov(phi, sum_i weights_i l_i - L), as value, se and half_width.

    Probes that hold both texts serve for it: give those of the new text no weight in phi (`Probes.weights`).
    """
    of_probes(trace)
    if list(weights.shape) != list(trace.probe_share.shape):
        raise ValueError(f"weights {list(weights.shape)}: give one for each probe, {list(trace.probe_share.shape)}")
    share = xr.DataArray(weights.double().numpy() / float(weights.double().sum()), dims=trace.probe_share.dims)
    x, y, product = _against_phi(trace)
    towards = ((each * share).sum(share.dims, skipna=False) for each in (y, product))
    return covariances.covariance(Means(x, *towards))


def two_chains(trace: xr.Dataset, full: xr.Dataset) -> xr.Dataset:
    """The estimate of the papers and of devinterp, which takes the tokens' own means from chains of the whole model:

        E_C[phi L] - E_C[phi l_i] - E_C[phi] (E_full[L] - E_full[l_i])

    trace: of the part; full: of the restriction "full", with the same probes. It is chi_i + E_C[phi] (E_full[l_i - L] -
    E_C[l_i - L]): nearly one vector over tokens is added, scaled by how much the part varies. So compare parts only
    after their values are standardised, and prefer `susceptibilities`, which needs no second run.
    """
    x, y, product = _against_phi(trace)
    whole = _against_phi(full).y  # with its sign: L - l_i
    if whole.shape[1:] != y.shape[1:]:
        raise ValueError(f"probes {list(y.shape[1:])} and {list(whole.shape[1:])}: both traces need the same")
    of_full = covariances.mean(whole)
    of_part = covariances.mean(product - x * of_full.value)
    se = (of_part.se**2 + (x.mean("chain") * of_full.se) ** 2) ** 0.5
    fewest = min(x.sizes["chain"], full.sizes["chain"]) - 1.0
    half = intervals.half_width(se, fewest)
    return xr.Dataset({"value": of_part.value, "se": se, "half_width": half})


def split_half(trace: xr.Dataset) -> float:
    """The correlation over tokens of chi from one half of the chains with that from the other (six chains or more)."""
    return covariances.split_half(_against_phi(trace))


def jackknifed(trace: xr.Dataset) -> tuple[xr.DataArray, xr.DataArray]:
    """chi_i, and what it is without each chain [chain, ...] (`covariances.jackknifed`)."""
    return covariances.jackknifed(_against_phi(trace))


def _against_phi(trace: xr.Dataset) -> Means:
    """Means of phi, of L - l_i, and of their product."""
    of_probes(trace)
    return Means(trace.phi, trace.phi - trace.probe_rise, trace.phi_square - trace.probe_product)
