"""Susceptibilities and influences against devinterp 2.0.1's, from the same losses draw by draw."""

import numpy as np
import pytest
import torch
import xarray as xr
from devinterp.slt.bif import compute_bif
from devinterp.slt.susceptibilities import compute_susceptibilities

from llc import influence, susceptibility
from llc.probes import Moments

CHAINS, DRAWS, ROWS, PREDICTED = 4, 30, 3, 6
OWN = 5  # rows of the text that phi is of; the others are probes alone


def losses(seed: int) -> np.ndarray:
    """Losses [chain, draw, row, predicted] with something in common."""
    generator = np.random.default_rng(seed)
    common = generator.normal(size=(CHAINS, DRAWS, 1, 1)) * generator.normal(size=(OWN + ROWS, PREDICTED))
    return 3 + common + 0.5 * generator.normal(size=(CHAINS, DRAWS, OWN + ROWS, PREDICTED))


CENTER = np.random.default_rng(9).uniform(2, 3, size=(OWN + ROWS, PREDICTED))


def ours(of: np.ndarray) -> xr.Dataset:
    """The trace of these losses."""
    share = torch.zeros(OWN + ROWS, PREDICTED, dtype=torch.float64)
    share[:OWN] = 1 / (OWN * PREDICTED)
    here = {"losses": torch.from_numpy(CENTER)[None]}
    moments = Moments(lambda positions: here["losses"], torch.zeros(1), share)
    for draw in range(DRAWS):
        here["losses"] = torch.from_numpy(of[:, draw])
        moments.add(torch.zeros(CHAINS, 1))
    return xr.Dataset(moments.variables())


def theirs(of: np.ndarray) -> xr.DataTree:
    """The same as devinterp's `sample` gives it, with the center's loss on the text of phi."""
    data: dict = {"init_loss": ((), CENTER[:OWN].mean())}
    for name, rows in (("text", slice(0, OWN)), ("probes", slice(OWN, None))):
        data[f"loss_{name}"] = (("chain", "draw", f"batch_{name}", "token_pos"), of[:, :, rows])
        ids = np.zeros((of[0, 0, rows].shape[0], PREDICTED + 1), dtype=int)
        data[f"input_ids_{name}"] = ((f"batch_{name}", "token"), ids)
    return xr.DataTree(xr.Dataset(data))


@pytest.fixture(scope="module")
def runs() -> tuple[np.ndarray, np.ndarray]:
    return losses(0), losses(1)


def test_two_chains_are_theirs_to_the_digit(runs: tuple) -> None:
    part, full = runs
    found = compute_susceptibilities({"l0h1": theirs(part), "full": theirs(full)}, "text")
    values = found["susceptibilities"].dataset.to_dataarray().values.reshape(ROWS, PREDICTED)
    own = susceptibility.two_chains(ours(part), ours(full))
    np.testing.assert_allclose(own.value.values[OWN:], values, rtol=1e-10)
    one = susceptibility.susceptibilities(ours(part)).value.values[OWN:]  # the control: the one-chain form
    assert abs(one - values).max() > 0.1 * abs(values).max()


def test_the_kernel_is_theirs_but_for_the_means_of_single_chains(runs: tuple) -> None:
    """Theirs divides by draws less one, which suits draws that are independent; ours takes no products of a chain's own
    means. The difference is known.
    """
    part, _ = runs
    trace = ours(part)
    options = {"correlation_method": "sequence", "compute_covariance": True, "device": "cpu"}
    found = compute_bif(theirs(part), **options, loss_keys=["text", "probes"]).influences.values
    n = CHAINS * DRAWS
    means = trace.probe_rise.mean("predicted").values
    between = np.cov(means.T) / CHAINS  # of the mean over all chains
    kernel = influence.loss_kernel(trace).value.values
    np.testing.assert_allclose(kernel, found * (n - 1) / n + between, rtol=1e-10)
    assert abs(kernel - found).max() > 1e-6 * abs(kernel).max()  # the control


def test_correlations_are_theirs_where_chains_agree(runs: tuple) -> None:
    part, _ = runs
    options = {"correlation_method": "sequence", "device": "cpu", "loss_keys": ["text", "probes"]}
    found = compute_bif(theirs(part), **options).influences.values
    own = influence.posterior_correlation(ours(part))
    off = ~np.eye(len(found), dtype=bool)
    assert abs((own.value.values - found) / own.se.values)[off].max() < 1
    assert abs(own.value.values - found)[off].max() < 0.02 < abs(own.value.values - found.T[::-1])[off].max()
