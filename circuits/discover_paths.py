"""What discovery works on: the direct paths of a model, and the record of what patching each of them does to a task."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from torch import Tensor
from transformer_lens import HookedTransformerConfig

from ablations.names import all_heads
from ablations.paths import OUTPUT, VIAS, Path, Source, all_paths, check_path


class Effects(NamedTuple):
    """What patching each path by itself does to the metric, by prompt."""

    paths: tuple[Path, ...]
    effect: Float[np.ndarray, "path prompt"]
    clean: Float[np.ndarray, " prompt"]
    corrupted: Float[np.ndarray, " prompt"]
    p: Float[np.ndarray, " path"]  # of an exact effect on the logit difference (`answer_tests`); NaN for attributions
    way: str = ""  # how it was measured, and why so, where `discover.path_effects` chose


def candidates(cfg: HookedTransformerConfig) -> tuple[Path, ...]:
    """Every direct path: from the embedding and from heads, into heads and to the output."""
    heads = all_heads(cfg)
    sources: list[Source] = ["embed", *heads]
    from_embedding = [Path("embed", head, via) for head in heads for via in VIAS]
    to_output = [Path(source, OUTPUT) for source in sources]
    return (*from_embedding, *all_paths(cfg), *to_output)


def check_paths(paths: Sequence[Path], cfg: HookedTransformerConfig) -> None:
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
