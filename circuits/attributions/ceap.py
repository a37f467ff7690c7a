"""CEAP: the conductance of an edge, what flows through it while embeddings go from clean to corrupted (Wu, Tonin and
Cevher 2026, arXiv:2606.16920).

    C(source -> target) = integral over the way of g(t) . dw(t)

where the embeddings at t are a mixture of both runs', w(t) is what the source writes in the run from there and g(t)
the metric's gradient with respect to what the target reads. EAP-IG (inputs) multiplies the mean of g with the whole
change of w; here each bit of the change meets the gradient where it happens. So at every cut of the model the
conductances of all edges sum to the metric's difference between both runs (completeness). The integral is taken by
trapezoids, whose error falls with the square of the number of steps.

From the paper come conductance in place of integrated gradients, and that it keeps EAP-IG's cost; its formulas were not
at hand. The formula above is our reading: conductance of hidden units (Dhamdhere et al. 2018, arXiv:1805.12233, in the
form of Shrikumar et al. 2018, arXiv:1807.09946: gradients times the units' change along the way), of edges.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch

from ablations import rerun
from ablations.forward import Weights
from ablations.models import Config
from ablations.paths import Path
from ablations.running import as_in_workers
from circuits.attributions.changes import Runs, as_estimates, attributed, runs
from circuits.attributions.eap_ig_inputs import IG_STEPS
from circuits.attributions.gradients import Gradients, linked, of_linked, shares
from circuits.discover_paths import Effects
from circuits.tasks import Metric, Task, logit_difference


@as_in_workers()
def ceap(
    weights: Weights,
    cfg: Config,
    task: Task,
    paths: Sequence[Path],
    metric: Metric = logit_difference,
    steps: int = IG_STEPS,
) -> Effects:
    """Estimates of the paths' effects, from the gradients at both ends of each of some even steps. Raises ValueError
    for no steps.
    """
    way, of = [0.0, *shares(steps)], runs(weights, cfg, task, paths, metric)
    effect = [torch.zeros_like(of.ends[0]) for _ in paths]
    points = (_point(of, share) for share in way)
    for (before, at_start), (after, at_end) in pairwise(points):
        step = of._replace(clean=before, corrupted=after)
        mean = {name: (at_start[name] + at_end[name]) / 2 for name in at_end}
        effect = [so_far + attributed(step, path, mean) for so_far, path in zip(effect, paths, strict=True)]
    return as_estimates(of, paths, effect)


def _point(of: Runs, share: float) -> tuple[rerun.Clean, Gradients]:
    """The run in which embeddings are so far on the way to the corrupted ones, and its gradients."""
    start = of.clean.residuals[0] + share * (of.corrupted.residuals[0] - of.clean.residuals[0])
    run = linked(of.weights, of.cfg, start, of.of_logits)
    return of.clean._replace(residuals=[start], z=run.z, mlps=tuple(run.mlps)), of_linked(run)
