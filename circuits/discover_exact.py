"""Exact effects of paths, by a model's weights as pure functions: only what follows a patched path is run again."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ablations import forward, padding, rerun
from ablations.changes import Change
from ablations.forward import Weights
from ablations.models import Config
from ablations.names import all_heads, all_mlps
from ablations.paths import LayerNorm, Path, Source
from ablations.running import as_in_workers, tracked
from circuits.discover_paths import Effects, check_paths, effects_of
from circuits.tasks import Metric, Task, check_task, logit_difference


@as_in_workers()
def exact(
    weights: Weights,
    cfg: Config,
    task: Task,
    paths: Sequence[Path],
    metric: Metric = logit_difference,
    layer_norm: LayerNorm = "recompute",
) -> Effects:
    """Effects of patching one path after another, the target's layer norm recomputed or its scale frozen.

    Prompts may be padded on the left, as weights_of(model) says that its tokenizer does (`ablations.padding`). Raises
    ValueError for no paths, paths that the model does not have, prompts and answers that do not correspond, and models
    that do not run as pure functions (`discover.path_effects` measures those by hooks).
    """
    with torch.no_grad():
        run, clean, corrupted = patched_run(weights, cfg, task, metric, layer_norm)
        check_paths(paths, cfg)
        patched = (last_logits(run, Change(cuts=(path,))) for path in tracked(paths, "paths patched"))
        return effects_of(paths, task, metric, (clean, corrupted), last_logits(run, Change()), patched)


def patched_run(
    weights: Weights, cfg: Config, task: Task, metric: Metric, layer_norm: LayerNorm = "recompute"
) -> tuple[rerun.Run, Float[Tensor, " prompt"], Float[Tensor, " prompt"]]:
    """The clean run, in which cut sources carry what they write on the corrupted prompts; and the metric of the clean
    and of the corrupted run.
    """
    check_task(task, cfg)
    clean, corrupted = both_runs(weights, cfg, task)
    values: dict[Source, Tensor] = {(layer, head): corrupted.z[layer][:, :, head] for layer, head in all_heads(cfg)}
    values["embed"] = F.embedding(corrupted.tokens, weights["embed.W_E"])
    values.update(zip(all_mlps(cfg), corrupted.mlps, strict=True))
    of_clean, of_corrupted = (
        metric(task, forward.unembed(weights, cfg, at_ends(run, run.residuals[-1])).cpu()) for run in (clean, corrupted)
    )
    return rerun.prepare(weights, cfg, clean, values, layer_norm), of_clean, of_corrupted


def both_runs(weights: Weights, cfg: Config, task: Task) -> tuple[rerun.Clean, rerun.Clean]:
    """The runs on the clean and on the corrupted prompts, on the device of the weights, padding after the text."""
    padded = padding.marked(weights)
    if task.lengths is not None:
        of_both = (rerun.clean_run(weights, cfg, tokens) for tokens in (task.clean, task.corrupted))
        clean, corrupted = (run._replace(ends=task.lengths.to(run.tokens.device) - 1) for run in of_both)
        return clean, corrupted
    rows = (padding.text_first(padded, tokens) for tokens in (task.clean, task.corrupted))
    clean, corrupted = (rerun.clean_run(weights, cfg, tokens) for tokens in rows)
    if padded is None:
        return clean, corrupted
    padding.check_alike(padded, task.clean, task.corrupted)
    ends = padding.lengths(padded, task.clean).to(clean.tokens.device) - 1
    return clean._replace(ends=ends), corrupted._replace(ends=ends)


def at_ends(run: rerun.Clean, values: Float[Tensor, "prompt pos *d"]) -> Float[Tensor, "prompt last *d"]:
    """What stands at the last token of each prompt."""
    return values[:, -1:] if run.ends is None else values[torch.arange(len(values)), run.ends][:, None]


def last_logits(run: rerun.Run, change: Change) -> Float[Tensor, "prompt last vocab"]:
    """Logits under a change, after the last token alone, which is where a task's answer is; on the CPU."""
    stream, scaled_as = (at_ends(run.clean, whole) for whole in rerun.final_streams(run, change))
    return forward.unembed(run.weights, run.cfg, stream, None if run.layer_norm == "recompute" else scaled_as).cpu()
