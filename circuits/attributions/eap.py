"""EAP: the gradient at the clean run, times the change (Syed et al. 2023, arXiv:2310.10348)."""

from collections.abc import Sequence

from ablations.forward import Weights
from ablations.models import Config
from ablations.paths import Path
from ablations.running import as_in_workers
from circuits.attributions.changes import as_estimates, attributed, runs
from circuits.attributions.gradients import TRUE, Rules, gradients
from circuits.discover_paths import Effects
from circuits.tasks import Metric, Task, logit_difference


@as_in_workers()
def eap(
    weights: Weights,
    cfg: Config,
    task: Task,
    paths: Sequence[Path],
    metric: Metric = logit_difference,
    rules: Rules = TRUE,
) -> Effects:
    """Estimates of the paths' effects. rules: of the derivatives, which other methods change."""
    of = runs(weights, cfg, task, paths, metric)
    found = gradients(weights, cfg, of.clean.residuals[0], of.of_logits, rules)
    return as_estimates(of, paths, [attributed(of, path, found) for path in paths])
