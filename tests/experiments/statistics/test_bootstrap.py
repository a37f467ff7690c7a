"""The bootstrap of clusters covers what it should, also with few clusters."""

import math

import numpy as np
import pytest

from experiments.statistics import bootstrap


@pytest.mark.parametrize("clusters", [3, 12])
def test_the_bootstrap_covers_with_few_clusters(clusters: int) -> None:
    home, outside, naive = np.repeat(np.arange(clusters), 3), [], []
    for seed in range(200):
        values = np.random.default_rng(seed).standard_normal(clusters)[home]
        low, high = bootstrap.cluster_bootstrap(lambda i, v=values: float(v[i].mean()), home, draws=60, seed=seed)
        outside.append(float(not low <= 0 <= high))
        naive.append(float(abs(values.mean()) > 1.96 * values.std(ddof=1) / math.sqrt(len(values))))
    assert np.mean(outside) < 0.05 + 4 * math.sqrt(0.05 * 0.95 / 200)
    assert np.mean(naive) > 0.2  # units taken as independent
