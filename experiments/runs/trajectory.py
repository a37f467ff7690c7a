"""All steps at which a run's weights are known: its checkpoints, and the further ones that training keeps in float16
for paths in function space (`Preset.trajectory`), at which nothing else is measured.
"""

from experiments.runs import places
from experiments.runs.run import Run

FOLDER = "trajectory"  # of a run


def holders(run: Run) -> dict[int, Run]:
    """By step, in order, what holds the weights: the run for its checkpoints, else the run of the further steps.

    Of a further step `bare_model` and `model_digest` may be asked; it has no tokenizer.
    """
    further = Run(run.folder / FOLDER, run.config)
    steps = places.steps_in(further.folder) if further.folder.is_dir() else []
    return dict(sorted((dict.fromkeys(steps, further) | dict.fromkeys(run.steps, run)).items()))
