"""Linear networks in training: saddles, the weights they are sampled at, and the exact sampler."""

import numpy as np
import pytest
import torch

from experiments.settings.deep_linear import coefficients, gibbs, network
from experiments.settings.deep_linear.setting import _middle, _ranks_seen
from llc import learning_coefficient
from llc.settings import Settings


def test_a_small_start_visits_every_saddle_and_a_large_one_none() -> None:
    small = network.train(network.SMALL, 0, network.STEPS[network.SMALL]).loss
    large = network.train(network.LARGE, 0, network.STEPS[network.LARGE]).loss
    assert _ranks_seen(small[::2].tolist()) == 3 and _ranks_seen(large[::2].tolist()) == 0
    assert [network.level(rank) for rank in network.RANKS] == [14.0, 5.0, 1.0]
    with pytest.raises(ValueError, match="no plateau"):
        _middle(large.numpy(), 1)


def test_weights_of_a_rank_are_a_minimum_of_the_loss_against_themselves() -> None:
    run = network.train(network.SMALL, 0, network.STEPS[network.SMALL])
    factors = network.of_rank(run.factors[_middle(run.loss.numpy(), 1)], 1)
    assert torch.linalg.matrix_rank(factors[1] @ factors[0]) == 1
    center = torch.cat([factor.flatten() for factor in factors])
    loss = network.against_itself(factors)
    near = center + 1e-3 * torch.randn(50, len(center), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert float(loss(center[None], None)) < 1e-20 < float(loss(near, None).min())


def test_the_gibbs_sampler_is_exact_where_one_factor_is_a_regression() -> None:
    """One layer: |A - M|^2 has 36 directions of curvature 2."""
    nbeta, count = 5.0, 36
    settings = Settings("exact", 1e-3, nbeta, 1.0, 1, num_chains=20, num_draws=400, num_burnin=20)
    trace = gibbs.trace([torch.eye(6, dtype=torch.float64)], settings, seed=0)
    found, exact = learning_coefficient(trace), count * nbeta / (2 * nbeta + 1)
    assert found.interval[0] < exact < found.interval[1]
    assert not found.interval[0] < count / 2 < found.interval[1]


def test_at_a_singular_point_the_coefficient_is_below_the_regular_count() -> None:
    zero = torch.zeros(6, 6, dtype=torch.float64)
    value, low, high = coefficients.exact((zero, zero), 1e4, 0)
    assert low <= value <= high and 13 < value < 13.5  # 13.5 in the limit; 36 for 72 regular parameters
    generic = torch.randn(2, 6, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert np.isclose(coefficients.exact((generic[0], generic[1]), 1e6, 0)[0], 18, atol=0.3)
