"""Path patching between clean and corrupted prompts: what one path, or a set of them, carries.

Noising runs the clean prompts and gives the paths what their sources write on the corrupted ones; denoising runs the
corrupted prompts and gives the paths what their sources write on the clean ones. Only the direct paths are patched,
with the target's layer norm recomputed or frozen (`paths.cut`). Wang et al. (2022), arXiv:2211.00593; Goldowsky-Dill
et al. (2023), arXiv:2304.05969.
"""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ablations import effects, padding
from ablations.heads import head_z
from ablations.models import Model, as_model
from ablations.paths import LayerNorm, Path, as_paths, check_path, cut
from ablations.running import as_in_workers

Metric = Callable[[Float[Tensor, "prompt pos d_vocab"]], Tensor]  # of logits: a number, or one for each prompt


class Patched(NamedTuple):
    """The metric of the clean and of the corrupted prompts, and under each set of patched paths."""

    clean: Tensor
    corrupted: Tensor
    patched: Tensor  # [set, ...]
    effect: Tensor  # [set, ...]: patched - clean when noising, patched - corrupted when denoising


@as_in_workers()
def path_patching(
    model: Model,
    clean: Int64[Tensor, "prompt pos"],
    corrupted: Int64[Tensor, "corrupted_prompt corrupted_pos"],
    sets: Sequence[str | Sequence[str | Path]],
    metric: Metric,
    *,
    direction: Literal["noising", "denoising"] = "noising",
    layer_norm: LayerNorm = "recompute",
) -> Patched:
    """Patches each set of paths by itself, given by their names or as values. Sources are heads.

    effect is metric(patched) - metric(the run that is patched). With a metric that is higher for the right answer,
    paths that carry it have negative effects when noising and positive ones when denoising. Prompts may be padded on
    the left, where the tokenizer does so and the metric reads the last position (`ablations.padding`); of prompts
    padded on the right it must read their own last token. Raises ValueError for prompts of different shapes or lengths,
    and for paths that the model does not have.
    """
    model = as_model(model)
    if clean.shape != corrupted.shape:
        raise ValueError(
            f"clean prompts {list(clean.shape)} and corrupted prompts {list(corrupted.shape)}: "
            "their positions must correspond, make both as many and as long"
        )
    padding.check_alike(padding.padding_of(model), clean, corrupted)
    if direction not in ("noising", "denoising"):
        raise ValueError(f"direction={direction!r}: it is noising or denoising")
    parsed = [as_paths(chosen) for chosen in sets]
    paths = [check_path(path, model.cfg) for chosen in parsed for path in chosen]
    if named := [path.source for path in paths if isinstance(path.source, str)]:
        raise ValueError(f"source {named[0]!r} is no head: patch paths from heads")
    base, other = (clean, corrupted) if direction == "noising" else (corrupted, clean)
    values = head_z(model, {path.source for path in paths}, other)  # type: ignore[misc]
    cuts = [cut(model, chosen, values, layer_norm) for chosen in parsed]
    every = [hook for hooks in cuts for hook in hooks]
    of_clean, of_corrupted = (metric(effects.run(model, tokens, [], flags_of=every)) for tokens in (clean, corrupted))
    patched = torch.stack([metric(effects.run(model, base, hooks, flags_of=every)) for hooks in cuts])
    return Patched(of_clean, of_corrupted, patched, patched - (of_clean if direction == "noising" else of_corrupted))
