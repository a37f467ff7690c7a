"""GIM: gradients that see through the softmax's saturation (Edin et al. 2025, arXiv:2505.17630, and its code).

Layer norms are constants, the softmax's derivative is that at twice the temperature, and gradients of queries and keys
are divided by four and those of values by two, as products share what they pass back between their factors.
"""

from collections.abc import Sequence

from ablations.forward import Weights
from ablations.models import Config
from ablations.paths import Path
from circuits.attributions.eap import eap
from circuits.attributions.gradients import Rules
from circuits.discover_paths import Effects
from circuits.tasks import Metric, Task, logit_difference

RULES = Rules(frozen_norms=True, temperature=2.0, scales=(0.25, 0.25, 0.5))


def gim(weights: Weights, cfg: Config, task: Task, paths: Sequence[Path], metric: Metric = logit_difference) -> Effects:
    """Estimates of the paths' effects; their sizes are not those of effects, their order is what counts."""
    return eap(weights, cfg, task, paths, metric, RULES)
