"""devinterp 2.0.1 on a deep linear network (needs the `peers` extra)."""

import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset
from deep_linear_points import Point, loss_at

from llc.settings import Settings


class Parameters(torch.nn.Module):
    """One flat vector, so that both tools sample the same function."""

    def __init__(self, flat: torch.Tensor) -> None:
        super().__init__()
        self.flat = torch.nn.Parameter(flat.clone())


def traces(point: Point, settings: Settings) -> np.ndarray:
    """Losses [chain, step] of devinterp's chains, on the population loss; the loss at the center is 0."""
    from devinterp.slt.sampling import sample

    os.environ["TQDM_DISABLE"] = "1"
    loss = loss_at(point)

    def per_token(model: torch.nn.Module, input_ids: torch.Tensor) -> torch.Tensor:
        return loss(model.flat[None], None).expand(len(input_ids), 1)

    folder = Path(tempfile.mkdtemp())
    samples = sample(
        Parameters(point.flat),
        Dataset.from_dict({"input_ids": [[0, 0]] * 4}).with_format("torch"),
        observables={},
        lr=settings.lr,
        n_beta=settings.nbeta,
        localization=settings.localization,
        num_chains=settings.num_chains,
        num_draws=settings.num_draws - settings.num_burnin,
        num_burnin_steps=settings.num_burnin,
        batch_size=1,
        num_init_loss_batches=1,
        device="cpu",
        output_path=folder / "samples.zarr",
        loss_fn=per_token,
    )
    found = samples.dataset.sampling_loss_micro.mean(dim=["batch_sampling", "token_pos"]).values
    shutil.rmtree(folder)
    return found
