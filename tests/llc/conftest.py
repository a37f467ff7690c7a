"""Chains on losses whose answers are known."""

import numpy as np
import torch
import xarray as xr

from llc import sgld
from llc.kernel import Positions
from llc.settings import Settings
from llc.trace import Recorder

SHORT = Settings(
    "SHORT", lr=1e-3, nbeta=30.0, localization=200.0, batch_size=4, num_chains=2, num_draws=8, num_burnin=2
)


def settings(**overrides: float) -> Settings:
    """The papers' posterior, four chains."""
    chosen: dict = {"lr": 1e-3, "nbeta": 30.0, "localization": 200.0, "batch_size": 1, "num_chains": 4}
    return Settings("TEST", **(chosen | {"num_draws": 600, "num_burnin": 50} | overrides))


def quadratic_trace(
    curvatures: np.ndarray,
    chosen: Settings,
    noise: float | np.ndarray = 0.0,
    seed: int = 0,
    kernel=sgld,
    control_variate: bool = False,
) -> xr.Dataset:
    """Chains on a quadratic loss whose minibatches add a gradient noise and a common loss shift."""
    h = torch.from_numpy(curvatures)
    generator = np.random.default_rng(seed)
    attrs = {"restriction": "quadratic", "loss": "quadratic", "weights": "", "data": ""}
    center = torch.zeros(len(h), dtype=torch.float64)
    whole = center if control_variate else None  # the mean of the noise
    recorder = Recorder(center, kernel, chosen, seed, attrs, whole_gradient=whole)
    for _ in range(chosen.num_draws):
        pull = torch.from_numpy(noise * generator.normal(size=len(h)))
        shift = 100 * float(np.max(noise)) * generator.normal()

        def evaluate(w: Positions, gradient=True, pull=pull, shift=shift) -> tuple[torch.Tensor, torch.Tensor]:
            return (h * w * w).sum(1) / 2 + w @ pull + shift, h * w + pull

        recorder.draw(shift, evaluate)
    return recorder.trace()
