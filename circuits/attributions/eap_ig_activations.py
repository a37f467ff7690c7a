"""EAP-IG (activations): for the paths of each layer's heads, the mean gradient while these heads' outputs go from the
corrupted to the clean ones, all else as in the clean run; of each MLP likewise (Hanna et al. 2024, arXiv:2403.17806,
and its code).

Those of the embedding are as in EAP-IG (inputs). All heads of a layer go together, each path being read from the same
gradients, so that a layer takes as many backward passes as there are steps.
"""

from collections.abc import Sequence

from ablations.forward import Weights
from ablations.models import Config
from ablations.names import mlp_layer
from ablations.paths import Path
from ablations.running import as_in_workers
from circuits.attributions.changes import Runs, as_estimates, attributed, runs
from circuits.attributions.eap_ig_inputs import IG_STEPS
from circuits.attributions.gradients import Gradients, gradients, mean_along, shares
from circuits.discover_paths import Effects
from circuits.tasks import Metric, Task, logit_difference


@as_in_workers()
def eap_ig_activations(
    weights: Weights,
    cfg: Config,
    task: Task,
    paths: Sequence[Path],
    metric: Metric = logit_difference,
    steps: int = IG_STEPS,
) -> Effects:
    """Estimates of the paths' effects. Raises ValueError for no steps."""
    way, of = shares(steps), runs(weights, cfg, task, paths, metric)
    by_source = {moved: _mean(of, *moved, way) for moved in sorted({_moved(path) for path in paths})}
    return as_estimates(of, paths, [attributed(of, path, by_source[_moved(path)]) for path in paths])


def _moved(path: Path) -> tuple[int, bool]:
    """The layer of the source, -1 for the embedding; and whether it is an MLP."""
    of_mlp = mlp_layer(path.source)
    if of_mlp is not None:
        return of_mlp, True
    return -1 if isinstance(path.source, str) else path.source[0], False


def _mean(of: Runs, layer: int, is_mlp: bool, way: Sequence[float]) -> Gradients:
    clean, corrupted = of.clean, of.corrupted

    def at(share: float) -> Gradients:
        if layer < 0:
            start = corrupted.residuals[0] + share * (clean.residuals[0] - corrupted.residuals[0])
            return gradients(of.weights, of.cfg, start, of.of_logits)
        if is_mlp:
            written = corrupted.mlps[layer] + share * (clean.mlps[layer] - corrupted.mlps[layer])
            return gradients(of.weights, of.cfg, clean.residuals[0], of.of_logits, mlps={layer: written})
        z = corrupted.z[layer] + share * (clean.z[layer] - corrupted.z[layer])
        return gradients(of.weights, of.cfg, clean.residuals[0], of.of_logits, z={layer: z})

    return mean_along(way, at)
