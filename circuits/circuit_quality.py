"""How good a set of paths is as a circuit: its faithfulness, completeness and minimality, and those of random sets."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from ablations.forward import Weights
from ablations.models import Config
from ablations.paths import Path
from ablations.running import as_in_workers
from circuits.discover_paths import candidates, parted
from circuits.patched_metric import patched_metric
from circuits.tasks import Metric, Task, logit_difference


class Circuit(NamedTuple):
    """How well a set of paths does the task; 0 is the run in which every path is patched, 1 the clean one.

    With every path patched, the model does what it does on corrupted prompts, MLPs and all.
    """

    faithfulness: float  # with all other paths patched
    completeness: float  # with the circuit's own paths patched: near 0 when nothing of it is missing
    minimality: dict[Path, float]  # faithfulness lost when this path, too, is patched


class RandomCircuits(NamedTuple):
    """The quality of random sets of paths; minimality is that of one path of each."""

    faithfulness: Float[np.ndarray, " draw"]
    completeness: Float[np.ndarray, " draw"]
    minimality: Float[np.ndarray, " draw"]


@as_in_workers()
def evaluate(
    weights: Weights,
    cfg: Config,
    task: Task,
    circuit: Sequence[str | Path],
    metric: Metric = logit_difference,
) -> Circuit:
    """Faithfulness, completeness and minimality of a set of paths, among all `candidates`, on mean metrics.

    Raises ValueError for a path that the model does not have, and NotMeasurable where patching everything changes
    nothing (there is no task to do) or the metric is not a number.
    """
    circuit, rest = parted(circuit, cfg)
    share = patched_metric(weights, cfg, task, metric).share
    faithful = share(rest)
    minimality = {path: faithful - share([*rest, path]) for path in circuit}
    return Circuit(faithful, share(circuit), minimality)


@as_in_workers()
def faithfulness(
    weights: Weights, cfg: Config, task: Task, circuit: Sequence[str | Path], metric: Metric = logit_difference
) -> float:
    """The first number of `evaluate` by itself, which takes one run in place of one a path; raises as it does."""
    return patched_metric(weights, cfg, task, metric).share(parted(circuit, cfg)[1])


@as_in_workers()
def random_circuits(
    weights: Weights,
    cfg: Config,
    task: Task,
    size: int,
    draws: int = 12,
    seed: int = 0,
    metric: Metric = logit_difference,
) -> RandomCircuits:
    """The quality of random sets of `size` paths: what a circuit of as many is to be held against.

    Raises ValueError for a size that no circuit has, no draws or a negative seed, and NotMeasurable as `evaluate` does.
    """
    every = candidates(cfg)
    if not 0 <= size <= len(every) or draws < 1 or seed < 0:
        raise ValueError(
            f"size={size}, draws={draws}, seed={seed}: a circuit has 0 to {len(every)} paths; "
            "draw at least once, with a seed that is not negative"
        )
    generator = np.random.default_rng(seed)
    share, quality = patched_metric(weights, cfg, task, metric).share, np.full((3, draws), np.nan)
    for draw in range(draws):
        order = [every[number] for number in generator.permutation(len(every))]
        quality[:2, draw] = share(order[size:]), share(order[:size])
        if size:
            quality[2, draw] = quality[0, draw] - share(order[size - 1 :])
    return RandomCircuits(*quality)
