"""RelP: relevance in place of gradients, by the rules that its authors' code takes by default (Rezaei Jafari et al.
2025, arXiv:2508.21258): layer norms are constants, and an MLP's activation multiplies by a constant.

Attention keeps its derivative: with its pattern constant, as in the rule for attention of layer-wise relevance
propagation, no path through queries or keys would have any relevance.
"""

from collections.abc import Sequence

from ablations.forward import Weights
from ablations.models import Config
from ablations.paths import Path
from circuits.attributions.eap import eap
from circuits.attributions.gradients import Rules
from circuits.discover_paths import Effects
from circuits.tasks import Metric, Task, logit_difference

RULES = Rules(frozen_norms=True, linear_activations=True)


def relp(
    weights: Weights, cfg: Config, task: Task, paths: Sequence[Path], metric: Metric = logit_difference
) -> Effects:
    """Estimates of the paths' effects."""
    return eap(weights, cfg, task, paths, metric, RULES)
