"""EAP-IG (inputs): the mean gradient on the way from the corrupted to the clean embeddings, times the change
(Hanna et al. 2024, arXiv:2403.17806).
"""

from collections.abc import Sequence

from ablations.forward import Weights
from ablations.models import Config
from ablations.paths import Path
from ablations.running import as_in_workers
from circuits.attributions.changes import as_estimates, attributed, runs
from circuits.attributions.gradients import gradients, mean_along, shares
from circuits.discover_paths import Effects
from circuits.tasks import Metric, Task, logit_difference

IG_STEPS = 5


@as_in_workers()
def eap_ig_inputs(
    weights: Weights,
    cfg: Config,
    task: Task,
    paths: Sequence[Path],
    metric: Metric = logit_difference,
    steps: int = IG_STEPS,
) -> Effects:
    """Estimates of the paths' effects; with one step the gradient is that of the clean run (EAP). Raises ValueError for
    no steps.
    """
    way, of = shares(steps), runs(weights, cfg, task, paths, metric)
    start, end = of.corrupted.residuals[0], of.clean.residuals[0]
    found = mean_along(way, lambda share: gradients(weights, cfg, start + share * (end - start), of.of_logits))
    return as_estimates(of, paths, [attributed(of, path, found) for path in paths])
