"""Sizes of what moves: by hand through a target's weights, and blind to what the task minds."""

import numpy as np
import pytest
import torch

from ablations import forward
from ablations.paths import Path
from circuits import planted
from circuits.attributions.magnitudes import magnitudes
from circuits.curves import area_under_roc
from circuits.discover import candidates, path_effects
from circuits.discover_exact import both_runs
from tests.circuits.attributions.test_attributions import made, task


def test_sizes_are_the_norms_of_what_targets_read() -> None:
    weights, cfg = made(normalization_type=None)
    paths = [Path((0, 1), (1, 2), "q"), Path("embed", (1, 0), "v"), Path((1, 1), "output")]
    clean, corrupted = both_runs(weights, cfg, task())
    head = (corrupted.z[0][:, :, 1] - clean.z[0][:, :, 1]) @ weights["blocks.0.attn.W_O"][1]
    last = (corrupted.z[1][:, -1, 1] - clean.z[1][:, -1, 1]) @ weights["blocks.1.attn.W_O"][1]
    read = (
        head @ weights["blocks.1.attn.W_Q"][2],
        (corrupted.residuals[0] - clean.residuals[0]) @ weights["blocks.1.attn.W_V"][0],
        last @ weights["unembed.W_U"],  # at the answer alone
    )
    expected = [torch.linalg.vector_norm(one.flatten(1), dim=1).numpy() for one in read]
    np.testing.assert_allclose(magnitudes(weights, cfg, task(), paths).effect, expected, rtol=1e-9)


def test_norms_divide_by_the_scale_of_the_clean_run() -> None:
    """So a size grows with the change, and a direction that the norm takes out counts for nothing."""
    weights, cfg = made()
    paths = [Path((0, head), (1, 0), "k") for head in range(cfg.n_heads)]
    before = magnitudes(weights, cfg, task(), paths).effect
    written = weights["blocks.0.attn.W_O"]
    ones = torch.ones(cfg.d_model, dtype=written.dtype)
    flat = weights | {"blocks.0.attn.W_O": torch.cat([written[:1].mean(-1, keepdim=True) * ones, written[1:]])}
    after = magnitudes(flat, cfg, task(), paths).effect
    assert abs(after[0]).max() < 1e-9 < 1e-2 < abs(before[0]).min()
    assert (abs(after[1:]) > 0.1 * abs(before[1:])).all()


def test_a_plant_is_told_by_effects_and_not_by_sizes() -> None:
    """Heads that write what nothing reads, and tokens that move every query, are as large as the circuit."""
    plant = planted.induction(noise=0.1)
    weights, cfg, asked = forward.weights_of(plant.model), plant.model.cfg, plant.tasks[0]
    true = np.array([path in plant.edges[0] for path in candidates(cfg)])
    by_size = area_under_roc(magnitudes(weights, cfg, asked, candidates(cfg)).effect.mean(1), true)
    by_effect = area_under_roc(abs(path_effects(plant.model, asked).effect.mean(1)), true)
    assert 0.5 < by_size < by_effect == 1


def test_bad_calls_are_refused() -> None:
    weights, cfg = made()
    with pytest.raises(ValueError, match="no paths"):
        magnitudes(weights, cfg, task(), [])
