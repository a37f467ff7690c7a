"""The models of a run's checkpoints, kept in memory by what they are: their weights and their configuration.

Neither the name of a run nor its path is part of what they are kept by, so a checkpoint or a config.json that was
replaced in place gives the new model.
"""

import torch

from ablations import models
from ablations.models import Model
from experiments.runs.run import Run
from experiments.storage.recent import Recent

KEPT = 4  # models on the CPU
KEPT_ELSEWHERE = 2  # models on a GPU

_MODELS: Recent[Model] = Recent(KEPT)
_MOVED: Recent[Model] = Recent(KEPT_ELSEWHERE)


def model_at(run: Run, step: int) -> Model:
    """The run's model at a checkpoint, on the CPU, in eval mode, nothing folded, without a tokenizer.

    It is shared by all who ask: do not change it. Raises ValueError as `Run.bare_model` does.
    """
    return _MODELS.get((run.model_digest(step), run.configuration), lambda: run.bare_model(step))


def model_on(run: Run, step: int, device: torch.device) -> Model:
    """The run's model at a checkpoint on a device; otherwise as `model_at`."""
    if device.type == "cpu":
        return model_at(run, step)

    def moved() -> Model:
        model = run.bare_model(step)
        return models.moved(model, device)

    return _MOVED.get((run.model_digest(step), run.configuration, str(device)), moved)
