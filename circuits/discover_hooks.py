"""Exact effects of paths by hooks, one forward a path: for models that do not run as pure functions of their weights.

`discover.path_effects` comes here by itself where a model needs it.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from ablations import effects, padding
from ablations.heads import Interventions, head_z
from ablations.models import Model, as_model
from ablations.names import mlp_layer
from ablations.paths import FIXED, LayerNorm, Path, Source, cut
from ablations.running import as_in_workers, tracked
from circuits.discover_paths import Effects, check_paths, effects_of
from circuits.tasks import Metric, Task, check_task, logit_difference
from circuits.tasks import ends as ends_of


@as_in_workers()
def exact(
    model: Model,
    task: Task,
    paths: Sequence[Path],
    metric: Metric = logit_difference,
    layer_norm: LayerNorm = "recompute",
) -> Effects:
    """Effects of patching one path after another, as `discover_exact.exact` measures them.

    Raises ValueError for no paths, paths that the model does not have, sources that are the same on all prompts
    ("pos_embed", "b_O"), and prompts and answers that do not correspond.
    """
    model = as_model(model)
    check_paths(paths, model.cfg)
    check_task(task, model.cfg)
    prompts, ends = torch.arange(len(task.clean)), _ends(model, task)
    values = _values(model, task, [path.source for path in paths])
    cuts = [cut(model, [path], values, layer_norm) for path in paths]
    every = [hook for hooks in cuts for hook in hooks]

    def last_logits(tokens: Tensor, hooks: Interventions) -> Float[Tensor, "prompt last vocab"]:
        return effects.run(model, tokens, hooks, flags_of=every)[prompts, ends][:, None].cpu()

    before = last_logits(task.clean, [])
    of_both = metric(task, before), metric(task, last_logits(task.corrupted, []))
    patched = (last_logits(task.clean, hooks) for hooks in tracked(cuts, "paths patched"))
    return effects_of(paths, task, metric, of_both, before, patched)


def _ends(model: Model, task: Task) -> Int64[Tensor, " prompt"]:
    """The column in which the last token of each prompt stands."""
    padded = padding.padding_of(model)
    if task.lengths is None:
        padding.check_alike(padded, task.clean, task.corrupted)
    return ends_of(task, padded)


def _values(model: Model, task: Task, sources: Sequence[Source]) -> dict[Source, Float[Tensor, "..."]]:
    """What these sources write on the corrupted prompts: z of heads, the embedding, and what MLPs write."""
    if odd := next((source for source in sources if source in FIXED), ""):
        raise ValueError(f"source {odd!r} is the same on all prompts: take paths from heads, MLPs or embed")
    corrupted = task.corrupted.to(model.W_E.device)
    heads = list(dict.fromkeys(source for source in sources if not isinstance(source, str)))
    values: dict[Source, Tensor] = {"embed": F.embedding(corrupted, model.W_E).detach()}
    values.update((head_z(model, heads, corrupted) if heads else {}).items())
    hooks = {f"blocks.{layer}.hook_mlp_out": source for source in sources if (layer := mlp_layer(source)) is not None}
    if hooks:
        with torch.no_grad():
            _, cache = model.run_with_cache(corrupted, return_type=None, names_filter=lambda name: name in hooks)
        values.update((source, cache[hook]) for hook, source in hooks.items())
    return values
