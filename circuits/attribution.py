"""EAP and EAP-IG by one function: the gradient approximations that discovery shows beside exact effects.

Other methods, and all of them against exact effects, are in `circuits.attributions`.
"""

from collections.abc import Sequence

from ablations.forward import Weights
from ablations.models import Config
from ablations.paths import Path
from circuits.attributions.eap_ig_inputs import IG_STEPS, eap_ig_inputs
from circuits.discover_paths import Effects
from circuits.tasks import Metric, Task, logit_difference

__all__ = ["IG_STEPS", "attribution"]


def attribution(
    weights: Weights,
    cfg: Config,
    task: Task,
    paths: Sequence[Path],
    metric: Metric = logit_difference,
    steps: int = 1,
) -> Effects:
    """Effects of paths as gradients estimate them: EAP for one step (at the clean prompts), EAP-IG for more (`IG_STEPS`
    are usual).

    Signs and units are those of exact effects; p is NaN. Raises ValueError for no steps, no paths, paths that the model
    does not have, and prompts and answers that do not correspond.
    """
    return eap_ig_inputs(weights, cfg, task, paths, metric, steps)
