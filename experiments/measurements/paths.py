"""What cutting each path between heads costs the copy gain on repeated random tokens."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from ablations import changed_losses, forward, substitutes
from ablations.changes import Change
from ablations.effects import clustered
from ablations.models import Config
from ablations.names import all_heads, head_name, parse_head
from ablations.paths import VIAS, Path, all_paths, ends, paths_of
from circuits import induction
from experiments.results import pass_time
from experiments.results.cells import Cells
from experiments.results.committed import whole
from experiments.results.inputs import Inputs
from experiments.results.kind import Kind, Parameters


def measure(inputs: Inputs, step: int, cells: Cells, heads: Sequence[str] = ()) -> xr.Dataset:
    """effect, effect_se, effect_degrees [source, target, via]: copy gain lost when a path is cut (mean ablation of
    what it carries), nats per token, positive where the path helps; NaN where no path is.

    heads: of paths from and into these alone, NaN for others (default: all).
    """
    model = inputs.model_here(step)
    weights, cfg = forward.weights_of(model), model.cfg
    sequences = inputs.repeated("random", inputs.plan.path_sequences)
    paths = _paths(cfg, heads)
    changes = [Change(cuts=(path,)) for path in paths]
    means = substitutes.means(weights, cfg, inputs.reference)
    effects = changed_losses.effects(weights, cfg, sequences.tokens, changes, induction.negative_copy_gain, means)
    names = [head_name(head) for head in all_heads(cfg)]
    shape = (len(names), len(names), len(VIAS))
    effect, se, degrees = np.full((3, *shape), np.nan)
    for path, row in zip(paths, effects, strict=True):
        at = *map(names.index, ends(path)), VIAS.index(path.via)  # type: ignore[arg-type]
        effect[at], se[at], degrees[at] = clustered(row, sequences.clusters)
    dims = ("source", "target", "via")
    data = {"effect": (dims, effect), "effect_se": (dims, se), "effect_degrees": (dims, degrees)}
    return xr.Dataset(data, {"source": names, "target": names, "via": list(VIAS)})


def _paths(cfg: Config, heads: Sequence[str]) -> list[Path]:
    return paths_of([parse_head(name) for name in heads], all_paths(cfg))


def seconds(inputs: Inputs, parameters: Parameters) -> float:
    """Rough seconds of all paths."""
    paths = _paths(inputs.run.model_config(), parameters.get("heads", ()))
    changes = [Change(cuts=(path,)) for path in paths]
    tokens = inputs.plan.path_sequences * 2 * inputs.plan.period
    return pass_time.of_changes(inputs, changes, tokens / inputs.n_ctx)


PATHS = Kind(
    "paths",
    (7,),
    measure,
    plan_fields=("text_rows", "reference_rows", "period", "path_sequences", "seed"),
    seconds=seconds,
    keeps=whole,
)
