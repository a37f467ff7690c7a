"""Which paths carry a task: exact effects of all of them, their gradient approximations, and how sure one can be.

A path's effect is metric(clean run in which the path alone carries what its source writes on the corrupted prompt) -
metric(clean run), by prompt; negative: the path carries the task. Paths are direct ones between nodes: heads, MLPs
where there are any ("MLP0"), the embedding and the output; what one node tells another through a third is no path but
two. At this size the exact effects of all paths are cheap, so they are the method, and what approximations are held
against.

This is the entry; each part stands in a file of its own:

    path_effects                            exact effects, by the way that the model allows
    exact                                   by weights as pure functions (`discover_exact`)
    attribution, IG_STEPS                   EAP and EAP-IG (`attribution`)
    candidates, Effects                     the paths of a model, and the record of their effects (`discover_paths`)
    significant                             which effects there are, at a false-discovery rate
    evaluate, random_circuits               how good a set of paths is (`circuit_quality`)
"""

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from jaxtyping import Bool, Float
from scipy import stats

from ablations import forward, padding
from ablations.models import Model, as_model
from ablations.paths import LayerNorm, Path, as_paths, check_layer_norm
from ablations.running import as_in_workers
from circuits import discover_hooks
from circuits.attribution import IG_STEPS, attribution
from circuits.circuit_quality import Circuit, RandomCircuits, evaluate, random_circuits
from circuits.discover_exact import exact
from circuits.discover_paths import Effects, candidates, check_paths
from circuits.tasks import Metric, Task, check_task, logit_difference

__all__ = [
    "IG_STEPS",
    "Circuit",
    "Effects",
    "Metric",
    "RandomCircuits",
    "Way",
    "attribution",
    "candidates",
    "check_paths",
    "check_task",
    "evaluate",
    "exact",
    "path_effects",
    "random_circuits",
    "significant",
]

Way = Literal["auto", "functions", "hooks"]


@as_in_workers()
def path_effects(
    model: Model,
    task: Task,
    paths: str | Sequence[str | Path] | None = None,
    *,
    metric: Metric = logit_difference,
    way: Way = "auto",
    layer_norm: LayerNorm = "recompute",
) -> Effects:
    """Exact effects of paths on a task, measured in the way that the model allows.

    Arguments:

        model   any model (`ablations.models`)
        task    clean and corrupted prompts, right and wrong answers (`circuits.tasks`); prompts may be padded as the
                model's tokenizer pads, each is measured as if it stood alone (`ablations.padding`)
        paths   the paths to patch, each by itself, by name or as values; all `candidates` unless given
        metric  takes the task and the logits after the last token [prompt, 1, vocab] to a number by prompt
        way     "functions" re-runs only what follows a path and is many times faster; "hooks" takes a forward a path
                and any model; "auto" takes functions where the model runs as these
        layer_norm  of a path's target: recomputed, which is the path's effect; or its scale frozen, which is the part
                of the effect that the target reads (`circuits.scale_part`)

    The result holds effect [path, prompt] in the metric's units (logits, of the logit difference), negative where a
    path carries the task; the metric of both runs; p by path, for `significant`; and `way`: "functions", or "hooks: "
    and why. Both ways agree up to rounding.

    Raises ValueError for no paths, paths that the model does not have, prompts and answers that do not correspond, an
    unknown way, and "functions" where the model does not run as these.

    Example:

        >>> from circuits import discover, planted
        >>> plant = planted.induction()  # hand-set weights: the circuit is known
        >>> effects = discover.path_effects(plant.model, plant.tasks[0])
        >>> effects.way
        'functions'
        >>> passed = discover.significant(effects.p)
        >>> {path for path, ok in zip(effects.paths, passed) if ok} == plant.edges[0]
        True
    """
    if way not in get_args(Way):
        raise ValueError(f"way={way!r}: choose from {get_args(Way)}")
    check_layer_norm(layer_norm)
    model = as_model(model)
    chosen = candidates(model.cfg) if paths is None else as_paths(paths)
    reason = "asked for" if way == "hooks" else forward.unsupported(model.cfg)
    if reason and way != "functions":
        return discover_hooks.exact(model, task, chosen, metric, layer_norm)._replace(way=f"hooks: {reason}")
    weights = forward.weights_of(model) | padding.mark(padding.padding_of(model))
    return exact(weights, model.cfg, task, chosen, metric, layer_norm)._replace(way="functions")


def significant(p: Float[np.ndarray, " path"], rate: float = 0.05) -> Bool[np.ndarray, " path"]:
    """Which p-values pass at this false-discovery rate (Benjamini and Hochberg 1995)."""
    if not 0 < rate < 1:
        raise ValueError(f"rate={rate}: a false-discovery rate is between 0 and 1")
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError("a p-value is not between 0 and 1: use exact effects, attributions have none")
    return stats.false_discovery_control(p) <= rate
