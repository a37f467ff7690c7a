"""What later heads take over when a head, or a path into one, is patched: its direct effect against its total effect.

A head that is patched everywhere changes what later heads read. Some of them then write more of the answer, so that the
total effect is small although the head itself wrote much of it: the Hydra effect (McGrath et al., arXiv:2307.15771) or
self-repair (Rushing and Nanda, arXiv:2402.15390, who find that the final norm's scale does a part of it). A small total
effect is then not to be read as "not needed".

The logit difference is a linear function of the final residual stream, but for the scale of the final norm. With g the
direction that is read as the answer, at the clean run's scale, and a dash for the run in which the head is patched,

    total  = direct + later heads, each by itself + MLPs + scale
    direct = g . (own' - own)                       what the head itself writes: its path to the output, norm frozen
    through a later head h = g . (h' - h)           what h writes more than before
    MLPs   = g . (the rest of the stream's change)  0 where there are none
    scale  = total - the same at the clean scale    what the final norm does, which shrinks when less is written

This is exact, prompt by prompt. Effects are patched - clean: negative where the head carries the task. What is not
direct, `indirect` = total - direct, is self-repair where it has the other sign than the direct effect, and what later
heads lose, since they need the head, where it has the same.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from scipy import stats
from torch import Tensor

from ablations import forward
from ablations.changes import Change, change_name, check_change, parse_change
from ablations.forward import Weights
from ablations.models import Config
from ablations.names import Head, all_heads, head_name
from ablations.paths import Path
from ablations.rerun import Run, changed_run
from ablations.running import as_in_workers, tracked
from circuits.discover_exact import at_ends, patched_run
from circuits.tasks import Task, logit_difference

PARTS = ("total", "direct", "later", "mlps", "scale", "indirect")


class Parts(NamedTuple):
    """What patching one head or path does to the logit difference, by prompt."""

    total: Float[Tensor, " prompt"]
    direct: Float[Tensor, " prompt"]
    through: Float[Tensor, "head prompt"]  # each later head by itself, 0 for all others
    mlps: Float[Tensor, " prompt"]
    scale: Float[Tensor, " prompt"]


@as_in_workers()
def self_repair(weights: Weights, cfg: Config, task: Task, of: Sequence[str | Head | Path] | None = None) -> xr.Dataset:
    """Total and direct effect of patching each head, or path into a head, and what later heads add to it.

    Arguments:

        weights, cfg  of any model that runs as pure functions (`forward.weights_of`)
        task          clean and corrupted prompts; a patched source carries what it writes on the corrupted ones
        of            heads and paths into heads, by name or as values, each patched by itself; all heads unless given.
                      A path's direct effect is that of its target, as far as the path changes what the target writes

    The result has total, direct, later (all later heads), mlps, scale and indirect [patched], means over prompts in
    logits, through [patched, head], each with its standard error over prompts (`_se`) and half the width of its 95%
    interval by Student's t (`_half`); and repaired [patched], the share of the direct effect that is made up for,
    1 - total / direct, NaN where the interval of the direct effect holds 0. attrs: prompts.

    Raises ValueError for a path to the output (nothing comes after it), for heads and paths that the model does not
    have, and for fewer than two prompts.

    Example:

        >>> from ablations import forward
        >>> from circuits import planted
        >>> from circuits.self_repair import self_repair
        >>> plant = planted.induction()
        >>> parts = self_repair(forward.weights_of(plant.model), plant.model.cfg, plant.tasks[0]).sel(patched="L0H1")
        >>> bool(abs(parts.direct) < 0.01), bool(abs(parts.through.sel(head="L1H2") - parts.total) < 0.2)
        (True, True)
    """
    changes = [_as_change(one, cfg) for one in (all_heads(cfg) if of is None else of)]
    if len(task.right) < 2 or not changes:
        raise ValueError(f"{len(task.right)} prompts, {len(changes)} heads or paths: give two prompts or more, and one")
    return _table([change_name(change) for change in changes], parts_by_prompt(weights, cfg, task, changes), cfg)


def parts_by_prompt(weights: Weights, cfg: Config, task: Task, changes: Sequence[Change]) -> list[Parts]:
    """The parts of the effect of each change, which is of one head, or of one path into a head."""
    with torch.no_grad():
        run, clean, _ = patched_run(weights, cfg, task, logit_difference)
        reads = _direction(run, task)
        return [_parts(run, task, change, reads, clean) for change in tracked(changes, "heads patched")]


def _as_change(one: str | Head | Path, cfg: Config) -> Change:
    """The head or the path as a change by itself."""
    if isinstance(one, str):
        change = parse_change(one)
    else:
        change = Change(cuts=(one,)) if isinstance(one, Path) else Change(heads=(one,))
    if len(change.heads) + len(change.cuts) != 1:
        raise ValueError(f"{one!r} is several: give each head or path by itself")
    if any(isinstance(path.target, str) for path in change.cuts):
        raise ValueError(f"{change_name(change)}: it is into no head, give heads or paths into heads")
    return check_change(change, cfg)


def _own(change: Change) -> Head:
    """The head whose writing the change alters first."""
    head = change.heads[0] if change.heads else change.cuts[0].target
    assert not isinstance(head, str)
    return head


def _direction(run: Run, task: Task) -> Float[Tensor, "prompt d_model"]:
    """What the logit difference reads of the final stream at the clean run's scale; removing the mean is symmetric, so
    that it is applied to the direction.
    """
    weights, cfg = run.weights, run.cfg
    unembedding = weights["unembed.W_U"].T
    answers = unembedding[task.right.to(unembedding.device)] - unembedding[task.wrong.to(unembedding.device)]
    if cfg.normalization_type is None:
        return answers
    stream = forward.centred(cfg, at_ends(run.clean, run.clean.residuals[-1])[:, 0])
    scale = (stream.square().mean(-1, keepdim=True) + cfg.eps).sqrt()
    return forward.centred(cfg, answers * weights["ln_final.w"] if "ln_final.w" in weights else answers) / scale


def _parts(
    run: Run, task: Task, change: Change, reads: Float[Tensor, "prompt d_model"], clean: Float[Tensor, " prompt"]
) -> Parts:
    """One head or path patched, all that follows run again."""
    residual, writes = changed_run(run, change)
    stream = at_ends(run.clean, residual)
    total = logit_difference(task, forward.unembed(run.weights, run.cfg, stream).cpu()) - clean
    moved = torch.einsum("pd,pd->p", (stream - at_ends(run.clean, run.clean.residuals[-1]))[:, 0], reads)
    by_head = torch.cat([_written(run, layer, after, reads) for layer, after in enumerate(writes.z)])
    own = all_heads(run.cfg).index(_own(change))
    direct = by_head[own].clone()
    mlps = moved - by_head.sum(0)
    by_head[own] = 0.0
    return Parts(total, direct.cpu(), by_head.cpu(), mlps.cpu(), total - moved.cpu())


def _written(
    run: Run, layer: int, z: Float[Tensor, "batch pos head d_head"], reads: Float[Tensor, "prompt d_model"]
) -> Float[Tensor, "head prompt"]:
    """What each head of a layer writes more than in the clean run into what is read, at the last token."""
    last, before = (at_ends(run.clean, values.flatten(2))[:, 0] for values in (z, run.clean.z[layer]))
    change = (last - before).unflatten(-1, z.shape[-2:])
    return torch.einsum("phe,hed,pd->hp", change, run.weights[f"blocks.{layer}.attn.W_O"], reads)


def _table(names: list[str], each: list[Parts], cfg: Config) -> xr.Dataset:
    """The means of all parts with their errors, along what was patched."""
    stacked = {name: torch.stack([getattr(one, name) for one in each]).double().numpy() for name in Parts._fields}
    through, prompts = stacked.pop("through"), stacked["total"].shape[1]
    stacked |= {"later": through.sum(1), "indirect": stacked["total"] - stacked["direct"]}
    reach = float(stats.t.ppf(0.975, prompts - 1))
    data: dict = {}
    for name, values, dims in (
        *((name, stacked[name], ("patched",)) for name in PARTS),
        ("through", through, ("patched", "head")),
    ):
        se = values.std(-1, ddof=1) / prompts**0.5
        data |= {name: (dims, values.mean(-1)), f"{name}_se": (dims, se), f"{name}_half": (dims, reach * se)}
    data |= _repaired(stacked["total"], stacked["direct"], reach)
    coords = {"patched": names, "head": [head_name(head) for head in all_heads(cfg)]}
    return xr.Dataset(data, coords, {"prompts": prompts})


def _repaired(
    total: Float[np.ndarray, "patched prompt"], direct: Float[np.ndarray, "patched prompt"], reach: float
) -> dict:
    """1 - total / direct of the means; the error of a ratio is that of total - ratio * direct, over the mean direct."""
    below, prompts = direct.mean(1), direct.shape[1]
    sure = abs(below) > reach * direct.std(1, ddof=1) / prompts**0.5
    below = np.where(sure & (below != 0), below, np.nan)
    ratio = total.mean(1) / below
    se = (total - ratio[:, None] * direct).std(1, ddof=1) / prompts**0.5 / abs(below)
    found = {"repaired": 1 - ratio, "repaired_se": se, "repaired_half": reach * se}
    return {name: ("patched", values) for name, values in found.items()}
