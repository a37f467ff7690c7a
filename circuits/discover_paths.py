"""What discovery works on: the direct paths of a model, and the record of what patching each of them does to a task."""

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ablations.models import Config
from ablations.names import Head, all_heads, all_mlps
from ablations.paths import OUTPUT, VIAS, Path, Source, all_paths, as_paths, check_path, mlp_paths, paths_of
from circuits import answer_tests
from circuits.tasks import Metric, Task


class Effects(NamedTuple):
    """What patching each path by itself does to the metric, by prompt."""

    paths: tuple[Path, ...]
    effect: Float[np.ndarray, "path prompt"]
    clean: Float[np.ndarray, " prompt"]
    corrupted: Float[np.ndarray, " prompt"]
    p: Float[np.ndarray, " path"]  # of an exact effect on the logit difference (`answer_tests`); NaN for attributions
    way: str = ""  # how it was measured, and why so, where `discover.path_effects` chose


def candidates(cfg: Config, of: Collection[Head] = ()) -> tuple[Path, ...]:
    """Every direct path: from the embedding, heads and MLPs, into heads and MLPs and to the output. All of them
    together carry everything that the prompts tell the model.

    of: those from and into these heads alone (default: all).
    """
    heads = all_heads(cfg)
    sources: list[Source] = ["embed", *heads, *all_mlps(cfg)]
    from_embedding = [Path("embed", head, via) for head in heads for via in VIAS]
    to_output = [Path(source, OUTPUT) for source in sources]
    return tuple(paths_of(of, (*from_embedding, *all_paths(cfg), *mlp_paths(cfg), *to_output)))


def parted(circuit: Sequence[str | Path], cfg: Config) -> tuple[list[Path], list[Path]]:
    """A circuit as paths, and all other `candidates`; raises ValueError for a path that is none of these."""
    every, inside = candidates(cfg), as_paths(circuit)
    if unknown := set(inside) - set(every):
        raise ValueError(f"{next(iter(unknown))} is not a path of this model")
    return list(inside), without(every, inside)


def without(paths: Sequence[Path], some: Sequence[Path]) -> list[Path]:
    """The paths but for some of them, in their order."""
    left_out = set(some)
    return [path for path in paths if path not in left_out]


def check_paths(paths: Sequence[Path], cfg: Config) -> None:
    """Raises ValueError for no paths, and for a path that the model does not have."""
    if not paths:
        raise ValueError("no paths: give at least one, or all `candidates`")
    for path in paths:
        check_path(path, cfg)


def as_effects(
    paths: Sequence[Path], effect: Tensor, clean: Tensor, corrupted: Tensor, p: Float[np.ndarray, " path"]
) -> Effects:
    """The record of these tensors; effect [path, prompt], clean and corrupted [prompt]."""
    by_prompt, of_clean, of_corrupted = (values.double().cpu().numpy() for values in (effect, clean, corrupted))
    return Effects(tuple(paths), by_prompt, of_clean, of_corrupted, p)


def effects_of(
    paths: Sequence[Path],
    task: Task,
    metric: Metric,
    ends: tuple[Float[Tensor, " prompt"], Float[Tensor, " prompt"]],
    before: Float[Tensor, "prompt last vocab"],
    patched: Iterable[Float[Tensor, "prompt last vocab"]],
) -> Effects:
    """The record of exact effects. ends: the metric on the clean and on the corrupted prompts; before, patched: logits
    after the last token of the clean prompts, and with one path after another patched.
    """
    effect, p = [], np.empty(len(paths))
    for number, after in enumerate(patched):
        effect.append(metric(task, after) - ends[0])
        p[number] = answer_tests.p_value(task, (after - before)[:, -1])
    return as_effects(paths, torch.stack(effect), *ends, p)
