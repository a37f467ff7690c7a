"""The one-layer model that a run's learning coefficients can be refined by."""

from ablations.not_measurable import NotMeasurable
from experiments import runs
from experiments.results.inputs import Inputs
from experiments.runs.run import Run


def reference_run(run: Run) -> Run:
    """The run's one-layer reference, else another seed's: the preset's first, beside the run or in the zoo.

    Raises NotMeasurable when there is none, or it has another vocabulary.
    """
    own = run.folder.with_name(f"{run.name}-1layer")
    shared = f"{run.config['preset']['name']}-seed0-1layer"
    places = (own, own.with_name(shared), runs.ZOO / shared)
    place = next((place for place in places if place.exists() and place != run.folder), None)
    if place is None:
        raise NotMeasurable(f"run {run.name} has no one-layer reference: train or adopt one as {own}")
    reference = runs.open_run(place)
    if reference.tokenizer_digest != run.tokenizer_digest:
        raise NotMeasurable(f"{reference.name} has another tokenizer than {run.name}: train it again beside it")
    return reference


def reference_step(inputs: Inputs, step: int) -> int:
    """The reference's checkpoint that the plan asks for; raises NotMeasurable where it has none."""
    reference = reference_run(inputs.run)
    chosen = reference.steps[-1] if inputs.plan.reference == "last" else step
    if chosen not in reference.steps:
        raise NotMeasurable(
            f"{reference.name} has no checkpoint at step {chosen}: refine by its last one, or train it again"
        )
    return chosen
